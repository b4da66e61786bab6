-- Who gets what: claims on free units, and shares that follow demand. The same as src/share/claims.rs.

local SOON, ASKED_BACK = 1000, 16

-- How much of a kind there is, who holds it, and who asks for it.
local function shares_of(kind, now)
  local shares = {kind = kind, demand = {}, lacking = {}, all = 0, asking = 0}
  for id, record in pairs(state.holders) do
    if now - record.seen < LIVELY then
      local demand = record.demand[kind.kind]
      if demand and demand > 0 then
        shares.demand[id] = demand
        shares.all = shares.all + demand
        shares.asking = shares.asking + 1
      end
      shares.lacking[id] = record.wanted[kind.kind]
    end
  end
  -- Who holds how much is looked up only where somebody lacks some.
  setmetatable(shares, {__index = function(_, field)
    if field ~= 'held' then return nil end
    local held = {}
    for at, name in ipairs(kind.units) do
      local record = unit(name)
      if record and not is_free(record, now) then
        held[record.holder] = (held[record.holder] or 0) + kind.sizes[at]
      end
    end
    rawset(shares, 'held', held)
    return held
  end})
  return shares
end

-- What a process has a right to while others lack some: its part of the demand.
local function share(shares, holder)
  local all, own, total = shares.all, shares.demand[holder] or 0, shares.kind.total
  if all == 0 then return total end
  -- In two parts: a product as large as all of it is no whole number any more.
  return floor(total / all) * own + floor(total % all * own / all)
end

-- Whether a process has its part, or more. Units have no halves: who has less may have one that is larger than what it lacks,
-- or that would be lent to nobody.
local function has_its_part(shares, holder)
  local all, own, total, held = shares.all, shares.demand[holder] or 0, shares.kind.total, shares.held[holder] or 0
  if all == 0 then return held >= total end
  return held - floor(total / all) * own >= total % all * own / all
end

local function lack_of_others(shares, holder)
  local sum = 0
  for other, requests in pairs(shares.lacking) do
    if other ~= holder then sum = sum + requests end
  end
  return sum
end

-- How much a process holds beyond its share that others lack of theirs.
local function beyond(shares, holder)
  local lacked = 0
  for other in pairs(shares.lacking) do
    if other ~= holder then
      lacked = lacked + max(share(shares, other) - (shares.held[other] or 0), 0)
    end
  end
  return min(max((shares.held[holder] or 0) - share(shares, holder), 0), lacked)
end

-- Whether a process has ended, or is known to be dead.
local function has_departed(id)
  return contains(state.dead, id) or (state.holders[id] and state.holders[id].ended) or false
end

-- Lends a unit to a process.
local function lend(record, renewal, from, to, now)
  state.fence = state.fence + 1
  local limits = limits_of(record.name)
  -- Who was lent it and has not heard of it has not used it.
  if not (record.holder == renewal.holder and record.ends > now) then abandon(record, now, state.broke) end
  prune(record, now)
  record.holder = renewal.holder
  record.ends = now + renewal.lease
  -- He goes by what is counted here, as it stands now.
  record.told = now
  record.fence = state.fence
  record.generation = state.generation
  record.mode = 'whole'
  record.opens, record.vanished = nil, nil
  local marks = mark(record, limits, from, to)
  local in_flight = {}
  for at, deadline in ipairs(record.in_flight) do in_flight[at] = deadline - now end
  return {
    unit = record.name,
    fence = record.fence,
    counts = moved(record.counts, -now),
    unknown = record.unknown and record.unknown - now,
    days_unknown = record.days_unknown and record.days_unknown - now,
    marks = marks,
    in_flight = in_flight,
    departed = record.before and has_departed(record.before),
    last_start = record.last_start and record.last_start - now,
    learned = limits,
    other = record.other,
  }
end

-- Whether a process may be lent what this guards: nobody else has the guard, and who has it, or had it last, leaves it to
-- others who want it.
local function may_guard(record, holder, now)
  if not record then return false end
  local own = record.holder == holder
  if not own and not is_free(record, now) then return false end
  if not (own or record.before == holder) then return true end
  for id, other in pairs(state.holders) do
    if id ~= holder and now - other.seen < LIVELY and other.wanted[record.name] then return false end
  end
  return true
end

-- What whoever renews wanted before this renewal.
local wished = {}

-- He wants something; who has it is told, once.
local function want(holder, wish, record)
  state.holders[holder].wanted[wish] = 1
  if record and not wished[wish] then hint(record.holder) end
end

-- How a wish for a unit by its name begins, where else a kind stands.
local NAMING = '=\n'

-- Units that others want by their names.
local function named_by_others(holder, now)
  local named = {}
  for id, other in pairs(state.holders) do
    if id ~= holder and now - other.seen < LIVELY then
      for wish in pairs(other.wanted) do
        if string.sub(wish, 1, 2) == NAMING then named[string.sub(wish, 3)] = true end
      end
    end
  end
  return named
end

-- Grants what is wanted by name, then free units until there is room for what is claimed; how much is still lacking.
local function grant(renewal, claim, shares, elsewhere, now, reply)
  local holder, kind, left = renewal.holder, shares.kind, claim.requests
  local named = {}
  for _, name in ipairs(claim.units or {}) do named[name] = true end
  -- How large those are that are only expected nobody knows.
  local each = claim.waiting > 0 and math.ceil(claim.tokens / max(claim.requests, 1)) or 0
  -- Alone, a process takes drawn units back as a whole.
  local alone = true
  for other in pairs(shares.demand) do alone = alone and other == holder end
  for other in pairs(shares.lacking) do alone = alone and other == holder end
  local free, kept = {}, {}
  for at, name in ipairs(kind.units) do
    local record = unit(name)
    if record and is_free(record, now) and not is_joining(record)
      -- Who had it leaves it to whoever wants it by its name.
      and not (record.before == holder and elsewhere[name])
      -- Whoever names it knows better: what rested in it was lifted, say.
      and (not record.opens or record.opens <= now + SOON or named[name] or grew(record.counts, limits_of(name)))
      and (record.mode == 'whole' or (alone and not is_drawn_from(record, now))) then
      local unknown = record.unknown
      if record.holder then unknown = max(unknown or -HUGE, record.ends) end
      local room_now = room(record.counts, limits_of(name), each, unknown, now + SOON)
      local guard = room_now > 0 and kind.guards and kind.guards[at] ~= '' and kind.guards[at]
      -- What its keys may do at a time only one process can know.
      local guarding = guard and unit(guard)
      local may = not guard or (may_guard(guarding, holder, now) and not is_joining(guarding))
      if not may and #kept < ASKED_BACK and not contains(kept, guard) then kept[#kept + 1] = guard end
      if room_now > 0 and may then
        -- What one had oneself one need not learn anew.
        free[#free + 1] = {record = record, room = room_now, own = record.before == holder, size = kind.sizes[at],
          at = at, guarding = guarding, named = named[name] or false}
      end
    end
  end
  table.sort(free, function(one, other)
    if one.named ~= other.named then return one.named end
    if one.own ~= other.own then return one.own end
    if one.room ~= other.room then return one.room > other.room end
    return one.at < other.at
  end)
  for _, found in ipairs(free) do
    local taken = shares.held[holder] or 0
    local most = lack_of_others(shares, holder) > 0 and taken > 0 and has_its_part(shares, holder)
    if (left == 0 or most) and not found.named then break end
    if not reply.lent[found.record.name] then
      local guarding = found.guarding
      if guarding and not (guarding.holder == holder and guarding.ends > now) then
        table.insert(reply.granted, lend(guarding, renewal, nil, nil, now))
        reply.lent[guarding.name] = true
      end
      table.insert(reply.granted, lend(found.record, renewal, claim.from, claim.to, now))
      reply.lent[found.record.name] = true
      shares.held[holder] = taken + found.size
      left = max(left - found.room, 0)
    end
  end
  for _, name in ipairs(claim.units and kind.units or {}) do
    local record = named[name] and unit(name)
    if named[name] and not (record and record.holder == holder and record.ends > now) then
      want(holder, NAMING .. name, record)
    end
  end
  if left > 0 then
    for _, guard in ipairs(kept) do want(holder, guard, unit(guard)) end
  end
  return left
end

-- When the first of a kind has room that is not lent to this process, where all of it was given back full.
local function opens_of(kind, holder, now)
  local soonest
  for _, name in ipairs(kind.units) do
    local record = unit(name)
    if not record then return nil end
    if not (record.holder == holder and record.ends > now) then
      if record.holder or not record.opens or record.opens <= now + SOON or record.mode ~= 'whole' or record.into
        or grew(record.counts, limits_of(name)) then return nil end
      soonest = min(soonest or record.opens, record.opens)
    end
  end
  return soonest
end

-- Grants what is claimed as far as it is free, and says what others lack.
local function serve(renewal, now, reply)
  local raw = call('GET', base .. ':roster:' .. renewal.roster)
  if not raw then return end
  local own = state.holders[renewal.holder]
  own.wanted, wished = {}, own.wanted
  local elsewhere = named_by_others(renewal.holder, now)
  for _, kind in ipairs(unpack_one(raw)) do
    local shares = shares_of(kind, now)
    for _, claim in ipairs(renewal.claims) do
      if claim.kind == kind.kind then
        local left = grant(renewal, claim, shares, elsewhere, now, reply)
        left = draw(renewal, claim, kind.units, left, now, reply)
        if left > 0 then
          table.insert(reply.dry, kind.kind)
          local opens = opens_of(kind, renewal.holder, now)
          if opens then reply.opens[kind.kind] = opens - now end
          own.wanted[kind.kind] = left
        end
      end
    end
    local lack = lack_of_others(shares, renewal.holder)
    if lack > 0 then
      reply.wanted[kind.kind] = text(lack)
      local more = beyond(shares, renewal.holder)
      if more > 0 then reply.give[kind.kind] = text(more) end
    end
    if shares.asking > 1 then reply.crowd[kind.kind] = {#kind.units, shares.asking} end
  end
  for _, held in ipairs(renewal.held) do
    if elsewhere[held.unit] then reply.wanted[NAMING .. held.unit] = text(1) end
  end
end

-- What was given back, and nobody was lent since, is told to those who want it and nothing else in its place.
local function offer(renewal, now)
  for _, held in ipairs(renewal.returned) do
    local record = unit(held.unit)
    if record and is_free(record, now) then
      for id, other in pairs(state.holders) do
        if other.wanted[NAMING .. held.unit] or other.wanted[held.unit] then hint(id) end
      end
    end
  end
end
