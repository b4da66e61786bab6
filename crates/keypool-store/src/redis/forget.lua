-- Drops records that were not written since. From ARGV[3]: of each its target and revision. Answers {head}.
for i = 3, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[4], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZREM', KEYS[4], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
end
return {head()}
