-- Returns a page of the quotas, and deletes those whose entries have all expired. ARGV[3]: the cursor.
-- Reply: {head, next cursor, {{name, n, state, {{span, entries}...}, {{date, amounts}...}}...}}.
local today = math.floor(now / 86400000)
local page = redis.call('HSCAN', KEYS[2], ARGV[3], 'COUNT', 100)
local quotas = {}
for i = 1, #page[2], 2 do
  local name, packed = page[2][i], page[2][i + 1]
  if name ~= 'epoch' then
    local quota, windows, days, newest = cmsgpack.unpack(packed), {}, {}, 0
    for span, list in pairs(quota.windows) do
      list = counting(list, span)
      if list[1] then windows[#windows + 1] = {span, list} end
    end
    for date, amounts in pairs(quota.days) do
      newest = math.max(newest, date)
      if math.abs(date - today) <= 1 then days[#days + 1] = {date, amounts} end
    end
    if windows[1] or newest >= today - 2 then
      quotas[#quotas + 1] = {name, quota.n, packed, windows, days}
    else
      redis.call('HDEL', KEYS[2], name)
    end
  end
end
return {head(), page[1], quotas}
