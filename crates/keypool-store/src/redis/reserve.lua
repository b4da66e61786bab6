-- Reserves one request with the first candidate that has room.
-- ARGV[3]: the epoch that the caller knows. ARGV[4] to ARGV[6]: the cost.
-- ARGV[7]: the zones as JSON, each {date of the first day, starts of three days and the end of the last}.
-- From ARGV[8] on: the candidates as JSON {quota, zone, {unit, span or 0 for a day, amount, ...}}.
-- Reply: {head, number of the granted candidate (0: none, -1: the caller must retry), date, {n, state} of its quota,
-- delays in ms until each candidate before it has room}.
if ARGV[3] ~= epoch then return {head(), -1, 0, {0, ''}, {}} end
if now < opens then return {head(), 0, 0, {0, ''}, {}} end

local TOKENS = 4
local cost = {tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
cost[TOKENS] = cost[2] + cost[3]
-- What must fit: at least one token, since the tokens of a response are known only afterwards.
local needed = {cost[1], math.max(1, cost[2]), math.max(1, cost[3])}
needed[TOKENS] = math.max(1, cost[TOKENS])

local function amount_of(amounts, unit, before)
  if unit == TOKENS then return amounts[before + 2] + amounts[before + 3] end
  return amounts[before + unit]
end

-- Returns the time at which a window has room for the cost; 0 if it has room now.
local function window_opens(list, span, unit, limit)
  local used = 0
  for i = 1, #list, 4 do used = used + amount_of(list, unit, i) end
  if used == 0 or used + needed[unit] <= limit then return 0 end
  local left = used
  for i = 1, #list, 4 do
    left = left - amount_of(list, unit, i)
    if left == 0 or left + needed[unit] <= limit then return list[i] + lasts(span) end
  end
end

-- Returns the day on which a request granted now is sent. `both` is the time until which the day before counts as well.
local zones, days = nil, {}
local function day_of(zone)
  if days[zone] then return days[zone] end
  zones = zones or cjson.decode(ARGV[7])
  local starts, sent = zones[zone], now + HOLD
  for i = 2, #starts - 1 do
    if starts[i] <= sent and sent < starts[i + 1] then
      local both = starts[i] + MIDNIGHT_GUARD
      days[zone] = {date = starts[1] + i - 2, both = now < both and both, ends = starts[i + 1] + MIDNIGHT_GUARD}
      return days[zone]
    end
  end
end

local function day_opens(counts, day, unit, limit)
  local function full(date)
    local used = counts[date] and amount_of(counts[date], unit, 0) or 0
    return used > 0 and used + needed[unit] > limit
  end
  if full(day.date) then return day.ends end
  return day.both and full(day.date - 1) and day.both or 0
end

local refused = {}
for index = 8, #ARGV do
  local name, zone, limits = unpack(cjson.decode(ARGV[index]))
  local quota, day = read(name), day_of(zone + 1)
  if not day then return {head(), -1, 0, {0, ''}, {}} end
  local windows, wait = {[MINUTE] = {}}, 0
  for span, list in pairs(quota.windows) do
    list = counting(list, span)
    if span == MINUTE or list[1] then windows[span] = list end
  end
  for i = 1, #limits, 3 do
    local unit, span, limit = limits[i], limits[i + 1], limits[i + 2]
    if span > 0 then windows[span] = windows[span] or {} end
    if needed[unit] > 0 then
      local room
      if limit == 0 then room = now + NEVER
      elseif span == 0 then room = day_opens(quota.days, day, unit, limit)
      else room = window_opens(windows[span], span, unit, limit) end
      wait = math.max(wait, room)
    end
  end
  if wait == 0 then
    quota.windows = windows
    for span, list in pairs(windows) do add(list, slot(now + HOLD, span), cost) end
    local kept = {}
    for date, amounts in pairs(quota.days) do
      if date > day.date - 3 then kept[date] = amounts end
    end
    quota.days = kept
    add_day(kept, day.date, cost)
    if day.both then add_day(kept, day.date - 1, cost) end
    local packed = write(name, quota)
    return {head(), index - 7, day.date, {quota.n, packed}, refused}
  end
  refused[#refused + 1] = math.max(1, wait - now)
end
return {head(), 0, 0, {0, ''}, refused}
