-- What the board knows, and where it lies. The same as src/share/state.rs.
--
-- {namespace}:board          a hash: what there is once
-- {namespace}:unit:NAME      a hash a unit; {namespace}:units is the set of their names
-- {namespace}:of:HOLDER      the units that name a process as their holder
-- {namespace}:drawn          the units of which places are booked
-- {namespace}:holders        process -> record
-- {namespace}:roster:HASH    what processes can serve: kinds; with :limits at its end the limits a unit
-- {namespace}:facts          scope -> rest; :heard at its end by revision, :ends by when it ends
-- {namespace}:used           sums
-- {namespace}:bounds         while it recovers: unit -> what can have been used of its days
-- {namespace}:left           the same: unit -> what it counted when it went back
--
-- Fields that this version does not know stay as they are. Whoever reads a unit reads its small fields; lists are read
-- when they are looked at, and all that changed is written at the end, when nothing can fail any more.

local base = KEYS[1]
local call = redis.call
local pack, unpack_one = cmsgpack.pack, cmsgpack.unpack

local SCALARS = {'generation', 'holder', 'ends', 'fence', 'mode', 'told', 'unknown', 'days_unknown', 'last_start',
  'opens', 'before', 'corrected', 'into', 'lost', 'vanished'}
local TEXTS = {generation = true, holder = true, mode = true, before = true, into = true}
local LISTS = {counts = true, marks = true, in_flight = true, learned = true, corrections = true, bookings = true,
  other = true}
-- What is read at once: every renewal looks at the last three of all that it holds.
local READ = {'generation', 'holder', 'ends', 'fence', 'mode', 'told', 'unknown', 'days_unknown', 'last_start', 'opens',
  'before', 'corrected', 'into', 'lost', 'vanished', 'learned', 'corrections', 'marks'}

local function text(value)
  if type(value) == 'number' then return string.format('%.0f', value) end
  return value
end

local function is_empty(list)
  return next(list) == nil
end

local function extend(map, more)
  for name, value in pairs(more or {}) do map[name] = value end
end

local function contains(list, wanted)
  for _, held in ipairs(list) do
    if held == wanted then return true end
  end
  return false
end

local function copied(list)
  local copy = {}
  for at, value in ipairs(list) do copy[at] = value end
  return copy
end

local function retain(list, keep)
  local kept = {}
  for _, value in ipairs(list) do
    if keep(value) then kept[#kept + 1] = value end
  end
  return kept
end

-- By bytes: `<` goes by the server's locale.
local function precedes(one, other)
  for at = 1, min(#one, #other) do
    local first, second = one:byte(at), other:byte(at)
    if first ~= second then return first < second end
  end
  return #one < #other
end

local state = {}
do
  local raw = call('HGETALL', base .. ':board')
  local found = {}
  for at = 1, #raw, 2 do found[raw[at]] = raw[at + 1] end
  local function number(name) return tonumber(found[name]) or 0 end
  local function list(name) return found[name] and unpack_one(found[name]) or {} end
  state.raw = found
  state.generation = found.generation or '0'
  state.past = list('past')
  state.server = found.server or ''
  state.clock, state.lag, state.broke = number('clock'), number('lag'), number('broke')
  state.fence, state.lease, state.revision = number('fence'), number('lease'), number('revision')
  state.recovery = found.recovery and unpack_one(found.recovery) or nil
  state.blank = tonumber(found.blank)
  state.gap = found.gap and unpack_one(found.gap) or nil
  state.awaited = found.awaited and unpack_one(found.awaited) or nil
  state.dead, state.joining = list('dead'), list('joining')
  state.other = list('other')
  state.used = {}
  state.holders, state.holders_raw = {}, {}
  raw = call('HGETALL', base .. ':holders')
  for at = 1, #raw, 2 do
    state.holders[raw[at]], state.holders_raw[raw[at]] = unpack_one(raw[at + 1]), raw[at + 1]
  end
end

local units = {}

local Unit = {}
function Unit.__index(record, field)
  if not LISTS[field] then return nil end
  local raw = record.raw[field]
  if raw == nil and not record.is_new then raw = call('HGET', record.key, field) end
  record.raw[field] = raw or false
  local list = raw and unpack_one(raw) or {}
  rawset(record, field, list)
  return list
end

local missed

-- The record of a unit; nil where there never was one.
local function unit(name)
  local record = units[name]
  if record ~= nil then return record or nil end
  local key = base .. ':unit:' .. name
  local found = call('HMGET', key, unpack(READ))
  if not found[1] then
    local was = call('SISMEMBER', base .. ':units', name) == 1
    units[name] = was and missed(name)
    return units[name] or nil
  end
  record = {name = name, key = key, raw = {}}
  for at, field in ipairs(READ) do
    local value = found[at] or nil
    record.raw[field] = found[at]
    if value and not TEXTS[field] then value = tonumber(value) end
    if not LISTS[field] then record[field] = value end
  end
  units[name] = setmetatable(record, Unit)
  return record
end

-- A new record.
local function enter(name, generation, unknown)
  local record = {name = name, key = base .. ':unit:' .. name, raw = {}, is_new = true}
  record.generation, record.mode = generation, 'whole'
  record.ends, record.fence, record.told, record.corrected = 0, 0, 0, 0
  record.unknown, record.days_unknown = unknown, unknown
  units[name] = setmetatable(record, Unit)
  return record
end

local function is_free(record, now)
  return not record.holder or record.ends <= now
end

local function is_of(record, holder, fence, generation)
  return record.generation == generation and record.holder == holder and record.fence == fence
end

-- What is counted for a limit; nothing yet where nobody told.
local function window(record, limit)
  record.counted = true
  local told = find(record.counts, limit)
  if not told then
    told = {u = limit.u, s = limit.s, a = limit.a, m = {}, d = {}}
    record.counts[#record.counts + 1] = told
  end
  return told
end

local function clear_moments(record)
  for _, told in ipairs(record.counts) do
    if #told.m > 0 then
      told.m = {}
      record.counted = true
    end
  end
end

-- Counts on a date: `with` makes of what is counted what is to be.
local function on_date(told, date, with)
  for i = 1, #told.d, 2 do
    if told.d[i] == date then
      told.d[i + 1] = with(told.d[i + 1])
      return
    end
  end
  told.d[#told.d + 1] = date
  told.d[#told.d + 1] = with(0)
end

-- The day is used up to the mark, as far as anybody knows.
local function fold_marks(record)
  local marks = record.marks
  record.marks = {}
  for _, mark in ipairs(marks) do
    local told = window(record, {u = mark[1], s = DAY, a = mark[3]})
    on_date(told, mark[2], function(used) return max(used, mark[3]) end)
  end
end

-- Its holder is gone: what he may have started since he told is not known.
local function abandon(record, now, broke)
  if record.holder then
    if record.told <= broke then clear_moments(record) end
    record.unknown = max(record.unknown or -HUGE, min(record.ends, now))
    record.before, record.holder = record.holder, nil
  end
  fold_marks(record)
end

-- Lets a new holder use a little of each day at once; how much is left up to each mark.
local function mark(record, limits, from, to)
  local function used(of, date)
    local most = 0
    for _, told in ipairs(record.counts) do
      if told.u == of and told.s == DAY then
        for i = 1, #told.d, 2 do
          if told.d[i] == date then most = max(most, told.d[i + 1]) end
        end
      end
    end
    return most
  end
  if from and from > 0 and not record.days_unknown and to - from < 3 then
    record.marks = {}
    for _, limit in ipairs(limits) do
      if limit.s == DAY then
        for date = from, to do
          local upto = min(used(limit.u, date) + max(floor(limit.a / 50), 4), limit.a)
          record.marks[#record.marks + 1] = {limit.u, date, upto}
        end
      end
    end
  end
  local left = {}
  for at, held in ipairs(record.marks) do
    left[at] = {held[1], held[2], max(held[3] - used(held[1], held[2]), 0)}
  end
  return left
end

-- Forgets moments that no window counts any more, nor did when the rest of it was known last.
local function prune(record, now)
  local known = min(record.unknown or now, now)
  for _, told in ipairs(record.counts) do
    if told.s ~= DAY then
      local oldest = known - millis(told.s) - 2000
      local kept = {}
      for i = 1, #told.m, 2 do
        if told.m[i] > oldest then
          kept[#kept + 1] = told.m[i]
          kept[#kept + 1] = told.m[i + 1]
        end
      end
      if #kept < #told.m then
        told.m = kept
        record.counted = true
      end
    end
  end
  record.in_flight = retain(record.in_flight, function(deadline) return deadline > now end)
end

-- The limits of a unit as one roster has them.
local rosters = {}
local function limits_in(roster, name)
  local known = rosters[roster]
  if not known then
    known = {}
    rosters[roster] = known
  end
  if known[name] == nil then
    local raw = call('HGET', base .. ':roster:' .. roster .. ':limits', name)
    known[name] = raw and unpack_one(raw) or false
  end
  return known[name] or nil
end

-- The rosters of all processes.
local live
local function live_rosters()
  if not live then
    local seen = {}
    live = {}
    for _, record in pairs(state.holders) do
      if record.roster ~= '0' and not seen[record.roster] then
        seen[record.roster] = true
        live[#live + 1] = record.roster
      end
    end
  end
  return live
end

-- Of those that processes use it with, and that answers named, the strictest.
local function limits_of(name)
  local record = unit(name)
  local limits = record and record.learned or {}
  for _, roster in ipairs(live_rosters()) do
    local more = limits_in(roster, name)
    if more then limits = stricter(limits, more) end
  end
  return limits
end

local function holder_of(id)
  local record = state.holders[id]
  if not record then
    record = {number = 0, seen = 0, came = {}, roster = '0', demand = {}, wanted = {}, news = 0, other = {}}
    state.holders[id] = record
    live = nil
  end
  return record
end

-- `process` and its life, of `process/life`; nil for any other name.
local function parts(id)
  local process, life = id:match('^(.*)/(%d+)$')
  if not process then return nil end
  life = life:gsub('^0+', '')
  if #life > 20 or (#life == 20 and not precedes(life, '18446744073709551616')) then return nil end
  return process, life
end

-- Whether `one` is a later life of the same process.
local function succeeds(one, other)
  local process, life = parts(one)
  local same_process, earlier = parts(other)
  if not process or process ~= same_process then return false end
  return #life > #earlier or (#life == #earlier and precedes(earlier, life))
end

local function write_unit(record)
  local set, gone = {}, {}
  local function put(field, value)
    local before = record.raw[field] or nil
    if value == nil then
      if before then gone[#gone + 1] = field end
    elseif value ~= before then
      set[#set + 1] = field
      set[#set + 1] = value
    end
  end
  for _, field in ipairs(SCALARS) do put(field, text(record[field])) end
  for field in pairs(LISTS) do
    local list = rawget(record, field)
    if list and (field ~= 'counts' or record.counted) then
      local empty = is_empty(list)
      put(field, not empty and pack(list) or nil)
      -- What was never read may be there.
      if empty and record.raw[field] == nil and not record.is_new then gone[#gone + 1] = field end
      if field == 'bookings' then call(empty and 'SREM' or 'SADD', base .. ':drawn', record.name) end
    end
  end
  local before = record.raw.holder or nil
  if before ~= record.holder then
    if before then call('ZREM', base .. ':of:' .. before, record.name) end
    if record.holder then call('ZADD', base .. ':of:' .. record.holder, 0, record.name) end
  end
  if record.is_new then call('SADD', base .. ':units', record.name) end
  -- A call takes no more than some thousands of arguments; a unit has some twenty.
  if #set > 0 then call('HSET', record.key, unpack(set)) end
  if #gone > 0 then call('HDEL', record.key, unpack(gone)) end
end

-- Writes all that changed.
local function write_state()
  local set, gone = {}, {}
  local function put(field, value)
    if value == nil then
      if state.raw[field] then gone[#gone + 1] = field end
    elseif value ~= state.raw[field] then
      set[#set + 1] = field
      set[#set + 1] = value
    end
  end
  for _, field in ipairs({'generation', 'server', 'clock', 'lag', 'broke', 'fence', 'lease', 'revision', 'blank'}) do
    put(field, text(state[field]))
  end
  for _, field in ipairs({'past', 'dead', 'joining', 'other'}) do
    put(field, not is_empty(state[field]) and pack(state[field]) or nil)
  end
  put('recovery', state.recovery and pack(state.recovery) or nil)
  put('gap', state.gap and pack(state.gap) or nil)
  put('awaited', state.awaited and pack(state.awaited) or nil)
  if #set > 0 then call('HSET', base .. ':board', unpack(set)) end
  if #gone > 0 then call('HDEL', base .. ':board', unpack(gone)) end
  for _, record in pairs(units) do
    if record then write_unit(record) end
  end
  for id in pairs(state.holders_raw) do
    if not state.holders[id] then call('HDEL', base .. ':holders', id) end
  end
  for id, record in pairs(state.holders) do
    local raw = pack(record)
    if raw ~= state.holders_raw[id] then call('HSET', base .. ':holders', id, raw) end
  end
  for name, more in pairs(state.used) do call('HINCRBY', base .. ':used', name, text(more)) end
end
