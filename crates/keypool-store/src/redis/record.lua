-- Stores records and corrects reservations.
-- ARGV[3]: the writer. ARGV[4]: the number of records; then the target and JSON of each record; then the corrections of
-- each quota as JSON {quota, {{at, date, {requests, input, output}}, ...}}.
-- Reply: {head, {{quota, n, state of the quota}...}}.
local first = 5 + 2 * tonumber(ARGV[4])
if first > 5 then revision = redis.call('HINCRBY', KEYS[1], 'revision', 1) end
for i = 5, first - 1, 2 do set_record(ARGV[i], ARGV[3] .. ' ' .. now .. ' ' .. ARGV[i + 1]) end

local reply = {}
for i = first, #ARGV do
  local name, corrections = unpack(cjson.decode(ARGV[i]))
  local quota = read(name)
  for _, correction in ipairs(corrections) do
    local at, date, amounts = unpack(correction)
    for span, list in pairs(quota.windows) do
      local slot = slot(at, span)
      if now < slot + lasts(span) then add(list, slot, amounts) end
    end
    add_day(quota.days, date, amounts)
  end
  local packed = write(name, quota)
  reply[#reply + 1] = {name, quota.n, packed}
end
return {head(), reply}
