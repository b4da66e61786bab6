-- The ledger. ARGV: what is done, the kind, and what belongs to it. Each entry is a string that the server forgets by
-- itself; whose they are stands in a set for each, scored by when they end.
local call = redis.call
local base = KEYS[1] .. ':ledger:'
local kind = ARGV[2]
local function place(name) return base .. kind .. ':' .. name end
local function those_of(whose) return base .. kind .. '@' .. whose end

local function number(text) return tonumber(text or '') or 0 end

local function held(name, now)
  local text = call('GET', place(name))
  if not text then return nil end
  local entry = cjson.decode(text)
  if entry.until_ms ~= '' and number(entry.until_ms) <= now then return nil end
  return entry
end

local doing = {
  -- Keep: the time, whether a name that is taken stays, then entries of four words.
  keep = function()
    local now, claim = number(ARGV[3]), ARGV[4] == 'claim'
    for at = 5, #ARGV, 4 do
      local name, whose, value, until_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
      local before = held(name, now)
      if not (claim and before and before.whose ~= whose) then
        if claim and before then value = before.value end
        if before and before.whose ~= whose then call('ZREM', those_of(before.whose), name) end
        local revision = call('INCR', base .. kind .. '#')
        local text = cjson.encode({ whose = whose, value = value, until_ms = until_ms, revision = tostring(revision) })
        call('SET', place(name), text)
        if until_ms ~= '' then call('PEXPIREAT', place(name), until_ms) end
        local set = those_of(whose)
        call('ZADD', set, until_ms == '' and '+inf' or until_ms, name)
        call('ZREMRANGEBYSCORE', set, '-inf', now)
      end
    end
    return 0
  end,
  forget = function()
    for at = 3, #ARGV do
      local text = call('GET', place(ARGV[at]))
      if text then call('ZREM', those_of(cjson.decode(text).whose), ARGV[at]) end
      call('DEL', place(ARGV[at]))
    end
    return 0
  end,
  -- Names, or all of one whose names begin so: name and text by turns.
  kept = function()
    local found = {}
    for at = 3, #ARGV do
      local text = call('GET', place(ARGV[at]))
      if text then found[#found + 1] = ARGV[at]; found[#found + 1] = text end
    end
    return found
  end,
  of = function()
    local prefix, found = ARGV[4], {}
    for _, name in ipairs(call('ZRANGEBYSCORE', those_of(ARGV[3]), '(' .. ARGV[5], '+inf')) do
      if string.sub(name, 1, #prefix) == prefix then
        local text = call('GET', place(name))
        if text then found[#found + 1] = name; found[#found + 1] = text end
      end
    end
    return found
  end,
  revision = function() return number(call('GET', base .. kind .. '#')) end,
  -- Draw: a name, how much, of how much, until when.
  draw = function()
    local count = place(ARGV[3])
    local granted = math.min(number(ARGV[4]), number(ARGV[5]) - number(call('GET', count)))
    if granted <= 0 then return 0 end
    call('INCRBY', count, string.format('%.0f', granted))
    call('PEXPIREAT', count, ARGV[6])
    return granted
  end,
  -- Counts, each a name, how much more (or less), until when: what each holds.
  count = function()
    local sums = {}
    for at = 3, #ARGV, 3 do
      local count, by = place(ARGV[at]), number(ARGV[at + 1])
      local before = number(call('GET', count))
      local sum = math.max(before + by, 0)
      if sum ~= before then
        call('SET', count, string.format('%.0f', sum))
        call('PEXPIREAT', count, ARGV[at + 2])
      end
      sums[#sums + 1] = sum
    end
    return sums
  end,
}

return doing[ARGV[1]]()
