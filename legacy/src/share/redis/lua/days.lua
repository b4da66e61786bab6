-- Days that outlive the board. The same as src/share/days.rs.

-- Of days: what is counted, or how much can have been used, {what, date, amount}; the place of one of the same.
local function place_of(marks, mark)
  for at, other in ipairs(marks) do
    if other[1] == mark[1] and other[2] == mark[2] then return at end
  end
end

-- What is counted of a unit's days; of a holder whose lease has ended unheard also what he was let use.
local function days_of(record, now)
  local days = {}
  for _, told in ipairs(record.counts) do
    for i = 1, told.s == DAY and #told.d or 0, 2 do days[#days + 1] = {told.u, told.d[i], told.d[i + 1]} end
  end
  for _, mark in ipairs(is_free(record, now) and record.marks or {}) do
    local at = place_of(days, mark)
    if at then
      days[at][3] = max(days[at][3], mark[3])
    else
      days[#days + 1] = {mark[1], mark[2], mark[3]}
    end
  end
  return days
end

-- Says what is counted of the days that a process asks for, as far as that is known; and the limits of what it has none
-- for. What keys allow by themselves is lent to nobody, and told here alone.
local function tell_days(renewal, now, reply)
  for _, roster in ipairs(live_rosters()) do reply.differ = reply.differ or roster ~= renewal.roster or nil end
  for _, name in ipairs(renewal.looks or {}) do
    local own = limits_in(renewal.roster, name)
    if not own or is_empty(own) or name:sub(1, 5) == 'key\n\n' then
      local limits = limits_of(name)
      if not equal(stricter(own or {}, limits), own or {}) then reply.stricter[name] = limits end
    end
    local record = unit(name)
    if record and record.generation == state.generation and not record.days_unknown and not is_joining(record) then
      table.insert(reply.days, {unit = name, marks = days_of(record, now)})
    end
  end
end

-- Hears how much of the days of units can have been used that nobody holds: what the board knew of them is lost.
local function hear_bounds(renewal)
  if not state.recovery then return end
  local key = base .. ':bounds'
  for _, days in ipairs(renewal.days or {}) do
    local raw = call('HGET', key, days.unit)
    local bounds = raw and unpack_one(raw) or {}
    for _, mark in ipairs(days.marks) do
      local at = place_of(bounds, mark)
      if at then
        bounds[at][3] = min(bounds[at][3], mark[3])
      else
        bounds[#bounds + 1] = mark
      end
    end
    call('HSET', key, days.unit, pack(bounds))
  end
end

-- Of a recovery that was to end earlier, or is over.
local function forget_bounds()
  call('DEL', base .. ':bounds')
end

-- No more was used of a unit's days than was said. Whether that is said of each of these limits.
local function bound_days(record, limits)
  local raw = call('HGET', base .. ':bounds', record.name)
  local bounds = raw and unpack_one(raw) or {}
  local daily = {}
  for _, limit in ipairs(limits) do
    if limit.s == DAY then
      local said = false
      for _, bound in ipairs(bounds) do said = said or bound[1] == limit.u end
      if not said then return false end
      daily[limit.u] = limit
    end
  end
  -- Of those of which nothing is told a day would tell.
  for _, limit in ipairs(limits) do window(record, limit) end
  for _, bound in ipairs(bounds) do
    local limit = daily[bound[1]]
    if limit then
      on_date(window(record, limit), bound[2], function(used) return max(used, bound[3]) end)
    end
  end
  return true
end
