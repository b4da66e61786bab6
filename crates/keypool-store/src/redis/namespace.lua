-- Common start of every script, after a line with the constants of window.rs.
-- KEYS: the state of the namespace, its quotas, its records, the revisions of the records.
-- ARGV[1]: the time in ms that a test sets, or '' for the server's time.
-- ARGV[2]: the run id of the server that the caller connected to; '' if the caller may not run INFO.
local GRACE = 2000

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'run', 'opens', 'revision')
local epoch, opens, revision = meta[1], tonumber(meta[3] or 0), tonumber(meta[4] or 0)
if not epoch or redis.call('HGET', KEYS[2], 'epoch') ~= epoch or (ARGV[2] ~= '' and meta[2] ~= ARGV[2]) then
  -- The data is new, or has lost its quotas, or is on another server than before, which may have lost a part: callers
  -- restore what they remember. Revisions start at the current time, so that they never go back.
  epoch, opens, revision = ARGV[2] .. ':' .. now, now + GRACE, math.max(revision, now)
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'run', ARGV[2], 'opens', opens, 'revision', revision)
  redis.call('HSET', KEYS[2], 'epoch', epoch)
end

-- The first element of every reply.
local function head()
  return {now, epoch, revision, math.max(opens - now, 0)}
end

local function set_record(target, value)
  redis.call('HSET', KEYS[3], target, value)
  redis.call('ZADD', KEYS[4], revision, target)
end
