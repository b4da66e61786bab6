-- One batch: all of it, once. ARGV: an id of the batch, the time of the one who sends it, then what is to be done, each a
-- letter and what belongs to it.
local base = KEYS[1]
local call = redis.call
local DONE = base .. ':done'
if call('ZSCORE', DONE, ARGV[1]) then return 0 end

local at = 3
local function take()
  at = at + 1
  return ARGV[at - 1]
end

-- How a key fared, of processes of which each saw a part: the latest of both times, and the faults by who was last.
local function fared(hash, success, failure, faults)
  local name = base .. ':health'
  local held = call('HMGET', name, hash .. '\ns', hash .. '\nf')
  local function number(text) return tonumber(text or '') or 0 end
  if math.max(number(success), number(failure)) >= math.max(number(held[1]), number(held[2])) then
    call('HSET', name, hash .. '\nc', faults)
  end
  if number(success) > number(held[1]) then call('HSET', name, hash .. '\ns', success) end
  if number(failure) > number(held[2]) then call('HSET', name, hash .. '\nf', failure) end
end

local doing = {
  -- A key: its record, and its secret where one is stored.
  k = function()
    local hash, record, created, secret = take(), take(), take(), take()
    call('HSET', base .. ':keys', hash, record)
    call('HSETNX', base .. ':created', hash, created)
    if secret ~= '' then call('HSET', base .. ':secrets', hash, secret) end
    fared(hash, take(), take(), take())
  end,
  -- Records by name, as they are now, or gone.
  u = function() call('HSET', base .. ':windows', take(), take()) end,
  U = function() call('HDEL', base .. ':windows', take()) end,
  r = function() call('HSET', base .. ':rests', take(), take()) end,
  R = function() call('HDEL', base .. ':rests', take()) end,
  -- In which quota a model's requests count.
  q = function() call('HSET', base .. ':quota_models', take(), take()) end,
  -- A day's use: whose, and what comes to it.
  d = function()
    local day, whose, id, last, count = take(), take(), take(), take(), tonumber(take())
    local name = base .. ':usage:' .. day
    call('ZADD', base .. ':days', 0, day)
    call('HSET', name, whose .. '\nid', id)
    for _ = 1, count do
      call('HINCRBY', name, whose .. '\n' .. take(), take())
    end
    if last ~= '' then fared(string.match(whose, '^[^\n]*'), last, '', '0') end
  end,
  i = function() call('RPUSH', base .. ':imports', take()) end,
  b = function() call('HSET', base .. ':run', 'running', '1', 'epoch', take(), 'crashes', take()) end,
  e = function() call('HSET', base .. ':run', 'running', '0') end,
}
while at <= #ARGV do doing[take()]() end
-- Whoever got no answer hands it over again, within the hour.
call('ZADD', DONE, ARGV[2], ARGV[1])
call('ZREMRANGEBYSCORE', DONE, '-inf', string.format('%.0f', ARGV[2] - 3600000))
return 1
