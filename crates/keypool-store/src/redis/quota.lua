-- A quota: {n, windows = {[span] = {at, requests, input, output, at, ...}}, days = {[date] = {requests, ...}}}.
-- `n` grows with each change. It starts at the current time, so that it never goes back after a quota was deleted.

-- The time at which a window counts a request: the end of the part of the window that the request falls into.
local function slot(at, span)
  local part = math.max(1, math.floor(span / PARTS))
  return math.ceil(at / part) * part
end

-- How long an entry counts.
local function lasts(span)
  return span + math.min(GUARD, math.ceil(span / 64))
end

local function read(name)
  local packed = redis.call('HGET', KEYS[2], name)
  return packed and cmsgpack.unpack(packed) or {n = now, windows = {}, days = {}}
end

local function write(name, quota)
  quota.n = quota.n + 1
  local packed = cmsgpack.pack(quota)
  redis.call('HSET', KEYS[2], name, packed)
  return packed
end

-- The entries of a window that still count.
local function counting(list, span)
  local over, first = now - lasts(span), 1
  while list[first] and list[first] <= over do first = first + 4 end
  if first == 1 then return list end
  local kept = {}
  for i = first, #list do kept[i - first + 1] = list[i] end
  return kept
end

-- Adds amounts, which may be negative, to the entry at a time. Entries stay ordered by time.
local function add(list, at, amounts)
  local i = #list - 3
  while i > 0 and list[i] > at do i = i - 4 end
  if list[i] ~= at then
    i = i + 4
    for k = 0, 3 do table.insert(list, i + k, k == 0 and at or 0) end
  end
  for unit = 1, 3 do list[i + unit] = math.max(0, list[i + unit] + amounts[unit]) end
end

local function add_day(days, date, amounts)
  local day = days[date] or {0, 0, 0}
  for unit = 1, 3 do day[unit] = math.max(0, day[unit] + amounts[unit]) end
  days[date] = day
end
