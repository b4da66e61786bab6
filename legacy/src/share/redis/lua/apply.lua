-- What a renewal does to the board. The same as src/share/apply.rs.

local LEAP, UNHEARD, DEAD, REMEMBERED, OVER = 100, 64, 64, 24 * 3600000, 72 * 3600000

-- The board's time moves on: never back, and no further than the one who renews has seen pass.
local function advance(renewal, server_now)
  local now = server_now - state.lag
  local record = renewal.generation == state.generation and state.holders[renewal.holder] or nil
  local came
  for at = 1, record and #record.came or 0, 2 do
    if not came and record.came[at] == renewal.acknowledged then came = record.came[at + 1] end
  end
  if came and renewal.elapsed then
    local least = came + renewal.elapsed
    if now > least + floor(renewal.elapsed / 1000) + 2 * renewal.trip + LEAP then
      -- It was set; or this renewal was long on its way, and no harm is done.
      local when = least - renewal.trip
      state.lag = state.lag + now - when
      now = when
      state.broke = max(now, state.clock)
    end
  end
  if now < state.clock then
    state.lag = state.lag - (state.clock - now)
    now = state.clock
    state.broke = now
  end
  state.clock = now
  return now
end

-- Earlier lives of the same process are over, and so are those that it knows to be dead.
local function bury(renewal, now)
  local dead = {}
  for other in pairs(state.holders) do
    if other ~= renewal.holder and (succeeds(renewal.holder, other) or contains(renewal.buried, other)) then
      dead[#dead + 1] = other
    end
  end
  table.sort(dead, precedes)
  for _, gone in ipairs(dead) do
    state.holders[gone] = nil
    live = nil
    state.dead = retain(state.dead, function(other) return other ~= gone end)
    table.insert(state.dead, gone)
    for _, name in ipairs(call('ZRANGE', base .. ':of:' .. gone, 0, -1)) do
      local record = unit(name)
      if record and record.holder == gone then abandon(record, now, state.broke) end
    end
  end
end

-- What a process can serve.
local function enrol(renewal, reply, now)
  local name = base .. ':roster:' .. renewal.roster
  if renewal.units then
    -- A board that lost something does not know what was used of units that it has never seen.
    local lost = state.recovery ~= nil
    local function made(unit_name) return enter(unit_name, lost and '0' or state.generation, state.blank) end
    for _, kind in ipairs(renewal.units) do
      kind.total = 0
      for at, unit_name in ipairs(kind.units) do
        kind.total = kind.total + kind.sizes[at]
        if not unit(unit_name) then
          local record = made(unit_name)
          for _, limit in ipairs(kind.limits[at]) do
            if limit.s == DAY then record.lost = state.blank end
          end
          if state.gap and not lost then begin_after(record, state.gap, kind.limits[at]) end
        end
      end
    end
    declare(renewal.units, made)
    call('DEL', name .. ':limits')
    for _, kind in ipairs(renewal.units) do
      for at, unit_name in ipairs(kind.units) do
        call('HSET', name .. ':limits', unit_name, pack(kind.limits[at]))
      end
      kind.limits = nil
    end
    call('SET', name, pack(renewal.units))
    call('SADD', base .. ':rosters', renewal.roster)
    rosters, live = {}, nil
  end
  local known = call('EXISTS', name) == 1
  reply.unknown_roster = not known
  local record = holder_of(renewal.holder)
  -- What has ended serves nothing, and has no limits that others are to go by.
  record.roster = known and not renewal.ends and renewal.roster or '0'
  record.seen = now
  live = nil
end

-- The record of a unit that this process tells of: its own, or after a loss one that it holds still. Of two who do, it is
-- lent to whom it was lent later.
local function own(renewal, held)
  local record = unit(held.unit)
  if record and is_of(record, renewal.holder, held.fence, state.generation) then return record end
  if record and record.vanished and held.valid and renewal.generation == state.generation then
    -- It was his, and he says so in time.
    record.holder, record.fence, record.vanished = renewal.holder, held.fence, nil
    record.corrected = max(record.corrected, held.corrected)
    return record
  end
  local recovery = state.recovery
  if not recovery or not held.valid or renewal.generation == state.generation then return nil end
  record = record or enter(held.unit, '0')
  if record.generation == state.generation and record.fence >= held.fence then return nil end
  record.holder = renewal.holder
  record.fence = held.fence
  record.generation = state.generation
  -- What this board had counted is old. The holder tells all of it once it hears of the loss.
  clear_moments(record)
  record.bookings = {}
  record.mode = 'whole'
  record.unknown, record.days_unknown = recovery.ends, recovery.ends
  record.corrected = max(record.corrected, held.corrected)
  state.fence = max(state.fence, held.fence)
  if record.into then join(record.name) end
  return record
end

-- What the holder told of its windows takes the place of what was known.
local function book(record, held, now)
  if held.counts then
    record.counts = all_heard(held.counts, now)
    record.counted = true
    record.told = now
    -- What was unknown is in them.
    record.unknown, record.days_unknown = nil, nil
    record.marks = held.marks
    record.in_flight = {}
    for at, deadline in ipairs(held.in_flight) do record.in_flight[at] = now + deadline end
    local last = held.last_start and heard(held.last_start, now)
    if last then record.last_start = max(record.last_start or last, last) end
  end
  record.corrections = retain(record.corrections, function(correction) return correction.n > held.corrected end)
  if held.other then extend(record.other, held.other) end
end

-- The holder tells of a unit and keeps it, unless it is not his any more.
local function hear(renewal, held, now, reply)
  local record = own(renewal, held)
  if not record then
    table.insert(reply.refused, held.unit)
    return
  end
  record.ends = now + renewal.lease
  book(record, held, now)
end

-- The holder gives a unit back.
local function take_back(renewal, held, now)
  local record = own(renewal, held)
  if not record then return end
  book(record, held, now)
  -- Nobody uses the day up to the mark any more.
  record.marks = {}
  record.opens = held.opens and now + max(held.opens, 0)
  record.before, record.holder = record.holder, nil
  record.mode = held.mode
end

-- What the board lent and the process does not tell of, it never heard of: an answer was lost.
local function regrant(renewal, now, reply)
  local told = {}
  for _, held in ipairs(renewal.held) do told[held.unit] = true end
  for _, held in ipairs(renewal.returned) do told[held.unit] = true end
  for _, name in ipairs(call('ZRANGE', base .. ':of:' .. renewal.holder, 0, -1)) do
    local record = not told[name] and unit(name)
    if record and record.generation == state.generation and record.holder == renewal.holder and record.ends > now then
      table.insert(reply.granted, lend(record, renewal, nil, nil, now))
      reply.lent[name] = true
    end
  end
end

local function forget(now)
  while #state.dead > DEAD do table.remove(state.dead, 1) end
  if state.gap and now + state.lag - state.gap[2] > OVER then state.gap = nil end
  for id, holder in pairs(state.holders) do
    if now - holder.seen >= REMEMBERED then state.holders[id] = nil end
  end
  live = nil
  local kept = live_rosters()
  for _, roster in ipairs(call('SMEMBERS', base .. ':rosters')) do
    if not contains(kept, roster) then
      call('DEL', base .. ':roster:' .. roster, base .. ':roster:' .. roster .. ':limits')
      call('SREM', base .. ':rosters', roster)
    end
  end
end

-- Does all that a renewal asks for, and answers it.
local function apply(renewal, server_now, identity, echo)
  local id = renewal.holder
  local known = state.holders[id]
  local dead = contains(state.dead, id)
  for other in pairs(state.holders) do dead = dead or succeeds(other, id) end
  if dead or (known and renewal.number <= known.number) then return {stale = true, dead = dead} end
  local before = state.clock
  local now = advance(renewal, server_now)
  state.lease = max(state.lease, renewal.lease, renewal.longest or 0)
  watch(renewal, identity, before, now)
  finish(now)
  bury(renewal, now)

  local reply = {time = now, generation = state.generation, granted = {}, refused = {}, wanted = {}, give = {}, dry = {},
    opens = {}, crowd = {}, draws = {}, facts = {}, corrections = {}, stricter = {}, days = {}, lent = {}}
  reply.recovering = state.recovery and state.recovery.ends - now
  local record = holder_of(id)
  record.number, record.seen, record.lease, record.hints = renewal.number, now, renewal.lease, 1
  record.ended = renewal.ends
  local came = {}
  for at = 1, #record.came, 2 do
    if record.came[at] >= renewal.acknowledged then
      came[#came + 1] = record.came[at]
      came[#came + 1] = record.came[at + 1]
    end
  end
  if #came < 2 * UNHEARD then
    came[#came + 1] = renewal.number
    came[#came + 1] = now
  end
  record.came = came
  record.demand = renewal.demand
  extend(record.other, renewal.other)
  enrol(renewal, reply, now)
  for _, held in ipairs(renewal.held) do hear(renewal, held, now, reply) end
  for _, held in ipairs(renewal.returned) do take_back(renewal, held, now) end
  hear_bounds(renewal)
  hear_left(renewal, now)
  settle(renewal, now)
  hear_news(renewal, now, reply)
  if not state.recovery then
    add_joined(now)
    regrant(renewal, now, reply)
    serve(renewal, now, reply)
    tell_days(renewal, now, reply)
    offer(renewal, now)
  end
  tell(renewal, now, reply)
  reply.vanished = vanished
  for _, other in pairs(state.holders) do
    local lease = other.lease or 0
    if other.seen + lease > now then reply.longest = max(reply.longest or 0, lease) end
  end
  forget(now)
  write_state()
  write_facts()
  send_hints(id, echo, now)
  return reply
end

local renewal = cjson.decode(ARGV[1])
-- A test says what time it is and who the server is; else the server does.
local server_now, identity = tonumber(ARGV[2]), ARGV[3]
if not server_now then
  local time = call('TIME')
  server_now = time[1] * 1000 + floor(time[2] / 1000)
  -- Who may not ask who the server is goes without.
  local info = redis.pcall('INFO', 'server')
  identity = type(info) == 'string' and info:match('run_id:(%w+)') or ''
end
local reply = apply(renewal, server_now, identity, ARGV[4] == '1')
reply.lent = nil
-- Whether commands changed keys: the store's own, said along the way.
reply.keys = tonumber(call('GET', base .. ':revision') or '')
return cjson.encode(without_empty(reply))
