-- One batch: all of it, once. ARGV: an id of the batch, the time of the one who sends it, then what is to be done, each a
-- letter and what belongs to it.
local base = KEYS[1]
local call = redis.call
local DONE = base .. ':done'
if call('ZSCORE', DONE, ARGV[1]) then return 0 end

-- What the writer wrote before is not there any more; what it writes again is.
local lost, there, again = false, false, false
local at = 3
-- A change of keys is one only if nobody else changed them since they were looked at: then it has this number.
if ARGV[3] == 'g' then
  local last = tonumber(call('GET', base .. ':revision') or '0')
  if last + 1 ~= tonumber(ARGV[4]) then return 2 end
  call('SET', base .. ':revision', ARGV[4])
  at = 5
end

local function take()
  at = at + 1
  return ARGV[at - 1]
end

-- How keys fared, of processes of which each saw a part: the latest of both times, and the faults by who was last.
local HEALTH = base .. ':health'
local function number(text) return tonumber(text or '') or 0 end
local function later(field, at)
  if number(at) > number(call('HGET', HEALTH, field)) then call('HSET', HEALTH, field, at) end
end
local function fared(hash, success, failure, faults)
  local held = call('HMGET', HEALTH, hash .. '\ns', hash .. '\nf')
  if math.max(number(success), number(failure)) >= math.max(number(held[1]), number(held[2])) then
    call('HSET', HEALTH, hash .. '\nc', faults)
  end
  later(hash .. '\ns', success)
  later(hash .. '\nf', failure)
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
  -- Its secret is forgotten.
  K = function() call('HDEL', base .. ':secrets', take()) end,
  -- What commands said of it, and the number of that change.
  s = function()
    local hash, said, revision = take(), take(), take()
    call('HSET', base .. ':said', hash, said)
    call('ZADD', base .. ':said:at', revision, hash)
  end,
  -- What processes told each other is so no more.
  f = function()
    local scope = take()
    call('HDEL', base .. ':facts', scope)
    call('ZREM', base .. ':facts:heard', scope)
    call('ZREM', base .. ':facts:ends', scope)
  end,
  -- A rest of one is another's; but not that a secret was refused which is gone.
  m = function()
    local name, from, to = take(), take(), take()
    local raw = call('HGET', base .. ':rests', name)
    call('HDEL', base .. ':rests', name)
    local rest = raw and cjson.decode(raw)
    if not rest or rest.kind == 'invalid_key' then return end
    local first, last = name:find('\n' .. from .. '\n', 1, true)
    local other = first and name:sub(1, first) .. to .. name:sub(last)
    if not other then return end
    local whom = '"' .. from .. '"'
    first, last = raw:find(whom, 1, true)
    if first then call('HSETNX', base .. ':rests', other, raw:sub(1, first) .. to .. raw:sub(last)) end
  end,
  -- Records by name, as they are now, or gone.
  u = function() call('HSET', base .. ':windows', take(), take()) end,
  U = function() call('HDEL', base .. ':windows', take()) end,
  r = function() call('HSET', base .. ':rests', take(), take()) end,
  R = function() call('HDEL', base .. ':rests', take()) end,
  -- In which quota a model's requests count.
  q = function() call('HSET', base .. ':quota_models', take(), take()) end,
  -- Of a day whose use comes: by whom, and whether that one wrote of it before.
  w = function()
    local day, writer, known = take(), take(), take()
    if known == '0' then
      call('HSET', base .. ':usage:' .. day, writer, 1)
    elseif call('HEXISTS', base .. ':usage:' .. day, writer) == 0 then
      lost = true
    end
  end,
  -- The same of what is written again, once.
  W = function()
    local day, writer = take(), take()
    there = call('HSETNX', base .. ':usage:' .. day, writer, 1) == 0
    again = again or not there
  end,
  -- A day's use: whose, and what comes to it.
  d = function()
    local day, whose, id, last, count = take(), take(), take(), take(), tonumber(take())
    local name = base .. ':usage:' .. day
    if there then
      at = at + 2 * count
      return
    end
    call('ZADD', base .. ':days', 0, day)
    call('HSET', name, whose .. '\nid', id)
    for _ = 1, count do
      call('HINCRBY', name, whose .. '\n' .. take(), take())
    end
    later(string.match(whose, '^[^\n]*') .. '\ns', last)
  end,
  i = function() call('RPUSH', base .. ':imports', take()) end,
  b = function() call('HSET', base .. ':run', 'running', '1', 'epoch', take(), 'crashes', take()) end,
  e = function() call('HSET', base .. ':run', 'running', '0') end,
}
while at <= #ARGV do doing[take()]() end
-- Whoever got no answer hands it over again, within the hour.
call('ZADD', DONE, ARGV[2], ARGV[1])
call('ZREMRANGEBYSCORE', DONE, '-inf', string.format('%.0f', ARGV[2] - 3600000))
if lost then return 3 end
if again then return 4 end
return 1
