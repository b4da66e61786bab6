-- Restores what a caller remembers. Each restored count is the larger of the stored and the remembered one.
-- ARGV[3]: the number of quotas; then the name and state of each; then the target and value of each record.
-- Reply: {head}.
local function merge_windows(list, seen)
  local merged, i, k = {}, 1, 1
  while list[i] or seen[k] do
    local at = math.min(list[i] or math.huge, seen[k] or math.huge)
    local from, last = list[i] == at, #merged
    local other = seen[k] == at
    merged[last + 1] = at
    for unit = 1, 3 do
      merged[last + 1 + unit] = math.max(from and list[i + unit] or 0, other and seen[k + unit] or 0)
    end
    if from then i = i + 4 end
    if other then k = k + 4 end
  end
  return merged
end

-- Nothing is granted while states arrive.
opens = math.max(opens, now + 250)
redis.call('HSET', KEYS[1], 'opens', opens)

local first = 4 + 2 * tonumber(ARGV[3])
for i = 4, first - 1, 2 do
  local name, packed = ARGV[i], ARGV[i + 1]
  local held = redis.call('HGET', KEYS[2], name)
  if not held then
    redis.call('HSET', KEYS[2], name, packed)
  elseif held ~= packed then
    local quota, seen = cmsgpack.unpack(held), cmsgpack.unpack(packed)
    for span, list in pairs(seen.windows) do
      quota.windows[span] = merge_windows(quota.windows[span] or {}, list)
    end
    for date, amounts in pairs(seen.days) do
      local day = quota.days[date] or {0, 0, 0}
      for unit = 1, 3 do day[unit] = math.max(day[unit], amounts[unit]) end
      quota.days[date] = day
    end
    quota.n = math.max(quota.n, seen.n)
    write(name, quota)
  end
end

if first <= #ARGV then revision = redis.call('HINCRBY', KEYS[1], 'revision', 1) end
for i = first, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 0 then set_record(ARGV[i], ARGV[i + 1]) end
end
return {head()}
