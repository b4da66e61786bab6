-- A store that went back in time: flushed, restored, replaced by a stale copy. The same as src/share/recovery.rs.

local THERE, LONG, PAST = 300000, 12 * 3600000, 32

-- What this process was told last is here, so that it need not be awaited any more, or it is lost: then nobody is.
local function hear_of_loss(renewal, lost)
  if lost then
    state.awaited = nil
  elseif state.awaited then
    state.awaited = retain(state.awaited, function(other) return other ~= renewal.holder end)
  end
end

-- The processes that can say whether a server which was started again still knows what it knew.
local function there(before)
  local lived, lately = {}, {}
  for id, holder in pairs(state.holders) do
    local silent = before - holder.seen
    local lease = (holder.lease or 0) > 0 and holder.lease or THERE
    if not holder.ended and silent <= lease then table.insert(lived, id) end
    if not holder.ended and silent <= THERE then table.insert(lately, id) end
  end
  return #lived > 0 and lived or lately
end

-- Why the store is believed to lack what happened of late, if it is. Where several reasons hold, the first of them counts.
local function reason_to_recover(contradicts, replaced)
  if state.generation == '0' then return 'empty' end
  if contradicts then return 'contradicted' end
  if replaced then return 'replaced' end
end

-- Gives up the present generation, and that of the process which renews.
local function begin_generation(renewal)
  local earlier = state.generation
  state.generation = renewal.nonce == '0' and '1' or renewal.nonce
  for _, generation in ipairs({earlier, renewal.generation}) do
    if generation ~= '0' and generation ~= state.generation and not contains(state.past, generation) then
      table.insert(state.past, generation)
    end
  end
  while #state.past > PAST do table.remove(state.past, 1) end
end

-- Begins another generation, and a recovery that lasts as long as a lease. One that is under way already begins anew, and keeps
-- what is known of how much was lost.
local function begin_recovery(reason, renewal, known, lost, before, now)
  local recovery = state.recovery
  -- A server that was only started again may have lost nothing: those who were there can say so.
  state.awaited = reason == 'replaced' and not recovery and there(before) or nil
  hear_of_loss(renewal, lost)
  begin_generation(renewal)
  -- What processes told to bound a loss was said of a recovery that was to end earlier.
  forget_bounds()
  forget_left()
  local since = recovery and recovery.since or before
  state.recovery = {
    ends = now + state.lease,
    since = reason == 'empty' and 0 or since,
    empty = reason == 'empty' or (recovery ~= nil and recovery.empty),
    known = known or (recovery ~= nil and recovery.known),
  }
  for _, holder in pairs(state.holders) do holder.wanted = {} end
end

-- Notices that the store is not the one that this process spoke to last, or that it forgot something: then a recovery begins.
local function watch(renewal, identity, before, now)
  local replaced = identity ~= '' and state.server ~= '' and identity ~= state.server
  state.server = identity
  local known = renewal.generation ~= '0'
  local record = state.holders[renewal.holder]
  -- It, or another process on its machine, was told something that is not here, whatever generation told it.
  local lost = (renewal.heard and renewal.heard > before)
    or (renewal.acknowledged > 0 and (not record or record.number < renewal.acknowledged))
  local of_this_generation = renewal.generation == state.generation
  -- A generation that was given up is that of a process which has not heard of the present one yet.
  local given_up = contains(state.past, renewal.generation)
  local is_stranger = not of_this_generation and not given_up
  local contradicts = known and (is_stranger or (of_this_generation and lost))
  local reason = reason_to_recover(contradicts, replaced)
  if reason then return begin_recovery(reason, renewal, known, lost, before, now) end
  if state.recovery and given_up then state.recovery.known = true end
  hear_of_loss(renewal, lost)
end

-- How much of a day can have been used since a copy was made: as much as the minutes allowed; nil where nothing bounds it.
local function allows(gap, limits, of)
  local missing, least = gap[2] - gap[1], nil
  for _, limit in ipairs(limits) do
    if limit.s ~= DAY and limit.u == of then
      local more = floor(limit.a * (floor(missing / max(millis(limit.s), 1)) + 2))
      least = least and min(least, more) or more
    end
  end
  return missing <= LONG and least or nil
end

-- Counts what may have been used of days while nothing was kept. Whether anything bounds that.
local function count_missed(record, gap, limits)
  local days = {}
  for _, limit in ipairs(limits) do
    if limit.s == DAY then
      local more = allows(gap, limits, limit.u)
      if not more then return false end
      days[#days + 1] = {limit, more}
    end
  end
  fold_marks(record)
  for _, day in ipairs(days) do
    local told = window(record, day[1])
    -- On one of these dates: in which zone a day ends is not known here.
    for date = first_date(gap[1]), last_date(gap[2]) do
      on_date(told, date, function(used) return used end)
    end
    for i = 2, #told.d, 2 do told.d[i] = told.d[i] + day[2] end
  end
  return true
end

-- It is not known to a copy that was put back: what was used of it before is not, either.
local function begin_after(record, gap, limits)
  local ends = gap[2] - state.lag
  record.unknown = max(record.unknown or -HUGE, ends)
  if not count_missed(record, gap, limits) then
    record.days_unknown = max(record.days_unknown or -HUGE, ends)
    record.lost = record.days_unknown
  end
end

-- All leases of before have ended: what nobody told of may be used up.
local function finish(now)
  local recovery = state.recovery
  if not recovery or recovery.ends > now then return end
  state.recovery = nil
  -- All who were there say that nothing was lost: what nobody holds any more was used up to the end of its lease at most.
  local whole = state.awaited and #state.awaited == 0
  state.awaited = nil
  local first_start = recovery.empty and not recovery.known
  if recovery.empty and recovery.known then state.blank = recovery.ends end
  local gap = {recovery.since + state.lag, recovery.ends + state.lag}
  if not whole and not recovery.empty then state.gap = gap end
  for _, name in ipairs(call('SMEMBERS', base .. ':units')) do
    local record = unit(name)
    if record and record.generation ~= state.generation and whole then
      record.generation = state.generation
      abandon(record, now, state.broke)
    elseif record and record.generation ~= state.generation then
      local limits = limits_of(name)
      record.generation = state.generation
      -- None of what it had counted is believed to have still been there.
      abandon(record, now, now)
      record.bookings = {}
      if not first_start then
        clear_moments(record)
        count_left(record)
        record.unknown = recovery.ends
        local daily = false
        for _, limit in ipairs(limits) do daily = daily or limit.s == DAY end
        if daily and (recovery.empty or not count_missed(record, gap, limits)) and not bound_days(record, limits) then
          record.days_unknown, record.lost = recovery.ends, recovery.ends
        end
      end
    end
  end
  forget_bounds()
  forget_left()
end
