-- What units count, as the board was told, by the server's time; to be looked at.
local base = KEYS[1]
local lag = tonumber(redis.call('HGET', base .. ':board', 'lag') or '') or 0
local seen = {}
for _, name in ipairs(redis.call('SMEMBERS', base .. ':units')) do
  local found = redis.call('HMGET', base .. ':unit:' .. name, 'counts', 'lost', 'into', 'days_unknown')
  local counts, lost = found[1] and cmsgpack.unpack(found[1]) or {}, tonumber(found[2] or '')
  for _, told in ipairs(counts) do
    for i = 1, #told.m, 2 do told.m[i] = told.m[i] + lag end
  end
  if not found[3] and (lost or #counts > 0) then
    seen[#seen + 1] = {unit = name, counts = counts, lost = lost and lost + lag, is_unasked = found[4] and true or nil}
  end
end
return cjson.encode(without_empty(seen))
