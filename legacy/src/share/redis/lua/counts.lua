-- Windows as the board keeps them: moments on its own clock. The same as src/share/counts.rs.
-- A limit is {u = what it counts, s = its span in nanoseconds (0: a day), a = how many}; what was told of it has also
-- m = {moment, amount, ...} and d = {date, amount, ...}.

local REQUESTS, OUTPUT_TOKENS, IMAGES, DAY = 0, 2, 4, 0
local HUGE = math.huge
local floor, max, min = math.floor, math.max, math.min
local GUARD, SURELY = 300, 2000

local function same(one, other)
  return one.u == other.u and one.s == other.s
end

local function find(counts, limit)
  for _, told in ipairs(counts) do
    if same(told, limit) then return told end
  end
end

local function millis(span)
  return floor(span / 1000000)
end

-- The earliest and the latest date that it is anywhere at a moment by the wall clock: zones lie between -12 and +14 hours.
local function first_date(wall)
  return floor((wall - 43200000) / 86400000) + 1
end

local function last_date(wall)
  return floor((wall + 50400000) / 86400000) + 1
end

local function moved(counts, by)
  local all = {}
  for at, told in ipairs(counts) do
    local moments = {}
    for i = 1, #told.m, 2 do
      moments[i], moments[i + 1] = told.m[i] + by, told.m[i + 1]
    end
    all[at] = {u = told.u, s = told.s, a = told.a, m = moments, d = told.d}
  end
  return all
end

-- Clocks drift: what was long ago may have been less long ago.
local function heard(ago, now)
  local drift = floor(max(-ago, 0) / 1000) + 1
  return now + min(ago + drift, 0)
end

local function all_heard(counts, now)
  local all = {}
  for at, told in ipairs(counts) do
    local moments, said = {}, told.m or {}
    for i = 1, #said, 2 do
      moments[i], moments[i + 1] = heard(said[i], now), said[i + 1]
    end
    all[at] = {u = told.u, s = told.s, a = told.a, m = moments, d = told.d or {}}
  end
  return all
end

-- Whether limits allow more than they did when this was told.
local function grew(counts, limits)
  for _, told in ipairs(counts) do
    local limit = find(limits, told)
    if not limit or limit.a > told.a then return true end
  end
  return false
end

-- How much of one sliding limit is left at `when`. `unknown`: until when all else may have been used.
local function left_of(counts, limit, unknown, when)
  local span = millis(limit.s) + GUARD
  local told = find(counts, limit)
  local moments = told and told.m or {}
  local function within(ends, since)
    local sum = 0
    for i = 1, #moments, 2 do
      if moments[i] > since and moments[i] <= ends then sum = sum + moments[i + 1] end
    end
    return sum
  end
  local used = within(HUGE, when - span)
  if unknown and when - unknown < span then
    used = used + max(limit.a - within(unknown, unknown - span + SURELY), 0)
  end
  return max(limit.a - used, 0)
end

local function room(counts, limits, each, unknown, when)
  local least = HUGE
  for _, limit in ipairs(limits) do
    if limit.s ~= DAY then
      local left = left_of(counts, limit, unknown, when)
      if limit.u == REQUESTS then
        least = min(least, left)
      elseif left == 0 then
        least = 0
      elseif each > 0 and limit.u ~= OUTPUT_TOKENS and limit.u ~= IMAGES then
        least = min(least, floor(left / min(each, limit.a)))
      end
    end
  end
  return least
end

local function in_order(one, other)
  if one.u ~= other.u then return one.u < other.u end
  local first, second = one.s == DAY and HUGE or one.s, other.s == DAY and HUGE or other.s
  return first < second
end

-- Of both limits the smaller.
local function stricter(one, other)
  local limits = {}
  for at, limit in ipairs(one) do limits[at] = limit end
  for _, more in ipairs(other) do
    local known = false
    for at, held in ipairs(limits) do
      if same(held, more) then
        known = true
        if held.a > more.a then limits[at] = more end
      end
    end
    if not known then limits[#limits + 1] = more end
  end
  table.sort(limits, in_order)
  return limits
end

local function equal(one, other)
  if #one ~= #other then return false end
  for at, limit in ipairs(one) do
    if not same(limit, other[at]) or limit.a ~= other[at].a then return false end
  end
  return true
end
