-- Places given out one by one. The same as src/share/draws.rs.

local LIFE, OF_LEASE, SETTLED_LATE = 4, 10, 60000

local function amount(of, requests, tokens)
  if of == REQUESTS then return requests end
  if of == OUTPUT_TOKENS or of == IMAGES then return 0 end
  return tokens
end

local function is_drawn_from(record, now)
  for _, booking in ipairs(record.bookings) do
    if booking.ends > now then return true end
  end
  return false
end

-- For how many requests of `each` tokens there is room now, in windows and days.
local function places(record, limits, each, claim, now)
  local least = HUGE
  for _, limit in ipairs(limits) do
    local needs, left = amount(limit.u, 1, each)
    if limit.s == DAY then
      local used = 0
      for _, told in ipairs(record.counts) do
        if same(told, limit) then
          for i = 1, #told.d, 2 do
            if told.d[i] >= claim.from and told.d[i] <= claim.to then used = max(used, told.d[i + 1]) end
          end
        end
      end
      left = max(limit.a - used, 0)
    else
      left = left_of(record.counts, limit, record.unknown, now)
    end
    if needs > 0 then
      least = min(least, floor(left / needs))
    elseif left == 0 then
      least = 0
    end
  end
  return least
end

local function count(record, limit, moment, more, claim)
  local told = window(record, limit)
  if limit.s ~= DAY then
    told.m[#told.m + 1] = moment
    told.m[#told.m + 1] = more
    return
  end
  for date = claim.from, claim.to do
    on_date(told, date, function(used) return used + more end)
  end
end

-- Gives out places of drawn units, booked as if they were used at the last moment that they may be; how many requests
-- are still lacking.
local function draw(renewal, claim, names, left, now, reply)
  local life = floor(renewal.lease * LIFE / OF_LEASE)
  local each = math.ceil(claim.tokens / max(claim.requests, 1))
  for _, name in ipairs(names) do
    if left == 0 then break end
    local record = unit(name)
    if record and record.mode == 'drawn' and is_free(record, now) and not record.days_unknown
      and not is_joining(record) then
      local limits = limits_of(name)
      local requests = min(left, places(record, limits, each, claim, now))
      if requests > 0 then
        -- The same number must not come again, even when the board forgot what it gave out.
        local number = renewal.number * 65536 + #reply.draws
        local ends, tokens = now + life, requests * each
        prune(record, now)
        for _, limit in ipairs(limits) do
          count(record, limit, ends, amount(limit.u, requests, tokens), claim)
        end
        table.insert(record.bookings, {draw = number, holder = renewal.holder, ends = ends, requests = requests,
          tokens = tokens, from = claim.from, to = claim.to})
        table.insert(reply.draws, {unit = name, draw = text(number), requests = text(requests), tokens = text(tokens),
          life = life})
        left = left - requests
      end
    end
  end
  return left
end

local function settle_in(record, settled, booking, now)
  for _, limit in ipairs(limits_of(record.name)) do
    local booked, used = amount(limit.u, booking.requests, booking.tokens), 0
    for i = 1, #settled.starts, 3 do
      used = used + amount(limit.u, settled.starts[i + 1], settled.starts[i + 2])
    end
    local told = find(record.counts, limit)
    if told then
      local unused = max(booked - used, 0)
      for i = 1, #told.d, 2 do
        if told.d[i] >= booking.from and told.d[i] <= booking.to then told.d[i + 1] = max(told.d[i + 1] - unused, 0) end
      end
      local pairs_of, found = {}, false
      for i = 1, #told.m, 2 do
        local more = told.m[i + 1]
        if not found and told.m[i] == booking.ends then
          found = true
          more = max(more - booked, 0)
        end
        pairs_of[#pairs_of + 1] = {told.m[i], more}
      end
      if found then
        for i = 1, #settled.starts, 3 do
          local more = amount(limit.u, settled.starts[i + 1], settled.starts[i + 2])
          pairs_of[#pairs_of + 1] = {heard(settled.starts[i], now), more}
        end
        pairs_of = retain(pairs_of, function(moment) return moment[2] > 0 end)
        table.sort(pairs_of, function(one, other)
          if one[1] ~= other[1] then return one[1] < other[1] end
          return one[2] < other[2]
        end)
        told.m = {}
        for at, moment in ipairs(pairs_of) do
          told.m[2 * at - 1], told.m[2 * at] = moment[1], moment[2]
        end
      end
      record.counted = true
    end
  end
end

-- What became of a draw takes the place of what was booked, once.
local function settle(renewal, now)
  for _, settled in ipairs(renewal.settled) do
    local record = unit(settled.unit)
    for at, booking in ipairs(record and record.bookings or {}) do
      if booking.draw == tonumber(settled.draw) and booking.holder == renewal.holder then
        table.remove(record.bookings, at)
        -- Whoever holds it as a whole by now has the booking in his windows.
        if record.mode == 'drawn' and not record.holder then settle_in(record, settled, booking, now) end
        break
      end
    end
  end
  for _, name in ipairs(call('SMEMBERS', base .. ':drawn')) do
    local record = unit(name)
    if record then
      record.bookings = retain(record.bookings, function(booking) return booking.ends + SETTLED_LATE > now end)
    end
  end
end
