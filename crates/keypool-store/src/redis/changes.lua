-- Returns the records since a revision.
-- ARGV[3]: the revision. Reply: {head, {target, revision, value}...}.
local reply = {}
if tonumber(ARGV[3]) < revision then
  local found = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. ARGV[3], '+inf', 'WITHSCORES')
  for i = 1, #found, 2 do
    local value = redis.call('HGET', KEYS[3], found[i])
    if value then
      reply[#reply + 1] = {found[i], tonumber(found[i + 1]), value}
    else
      -- The server lost the record.
      redis.call('ZREM', KEYS[4], found[i])
    end
  end
end
return {head(), reply}
