-- Deletes each record whose revision is still the given one.
-- From ARGV[3] on: the target and revision of each record. Reply: {head}.
for i = 3, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[4], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZREM', KEYS[4], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
end
return {head()}
