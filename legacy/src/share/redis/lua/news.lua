-- What is accepted from whoever tells it: it adds up, or the larger holds. The same as src/share/news.rs.
-- A rest without end has no `ends`.

local facts, facts_gone = {}, {}

local function fact(scope)
  if facts_gone[scope] then return nil end
  if facts[scope] then return facts[scope] end
  local raw = call('HGET', base .. ':facts', scope)
  return raw and unpack_one(raw) or nil
end

local CONCERNS, LONGER = 3600000, 12 * 3600000

local function is_name(scope)
  local kind = scope:sub(1, 6)
  return kind == 'owner\n' or kind == 'alias\n'
end

-- Whether what is said now takes the place of what is known. Of a name of one generation what was said first holds.
local function is_news(scope, held, rest)
  if not held then return true end
  local now, before = rest.ends or HUGE, held.ends or HUGE
  if rest.generation ~= held.generation then return rest.generation > held.generation end
  if is_name(scope) then return rest.why == held.why and now > before + LONGER end
  return now > before
end

local function forget_old(now)
  local over = now - CONCERNS
  for _, scope in ipairs(call('ZRANGEBYSCORE', base .. ':facts:ends', '-inf', text(over))) do
    if not facts[scope] then facts_gone[scope] = true end
  end
  for scope, rest in pairs(facts) do
    if rest.ends and rest.ends <= over then
      facts[scope] = nil
      facts_gone[scope] = true
    end
  end
end

local function rest_of(scope, rest)
  if is_news(scope, fact(scope), rest) then
    state.revision = state.revision + 1
    rest.revision = state.revision
    facts[scope], facts_gone[scope] = rest, nil
    -- Somebody switched a key off or on.
    if scope:sub(1, 9) == 'disabled\n' then hint_all() end
  end
end

-- Books what is new, each once, whether the answer arrived or not.
local function hear_news(renewal, now, reply)
  forget_old(now)
  local own = state.holders[renewal.holder]
  local booked = own.news
  local last = booked
  for _, entry in ipairs(renewal.news) do
    local number, news = entry[1], entry[2]
    if number > booked then
      last = max(last, number)
      if news.is == 'used' then
        state.used[news.name] = (state.used[news.name] or 0) + news.more
      elseif news.is == 'corrected' then
        local record = unit(counted_in(news.unit))
        if record then
          record.corrected = record.corrected + 1
          table.insert(record.corrections,
            {n = record.corrected, u = news.of, b = heard(news.began, now), m = news.more})
        end
      elseif news.is == 'rest' then
        rest_of(news.scope, {ends = news.ends and now + news.ends, generation = news.generation, why = news.why})
      elseif news.is == 'learned' then
        local record = unit(counted_in(news.unit))
        if record then record.learned = stricter(record.learned, news.limits) end
      end
    end
  end
  own.news = last
  reply.news = last
end

-- Tells what others told since, and what concerns the units that are held.
local function tell(renewal, now, reply)
  forget_old(now)
  local names = {}
  for _, entry in ipairs(renewal.news) do
    local news = entry[2]
    if news.is == 'rest' and is_name(news.scope) then names[news.scope] = news end
  end
  local since = renewal.generation == state.generation and renewal.revision or 0
  local function add(scope, rest)
    -- A name that it says itself holds as soon as this is answered.
    local said = names[scope]
    if said and said.generation == rest.generation and said.why == rest.why then return end
    reply.facts[scope] = {ends = rest.ends and rest.ends - now, generation = rest.generation, why = rest.why,
      revision = rest.revision}
  end
  for _, scope in ipairs(call('ZRANGEBYSCORE', base .. ':facts:heard', '(' .. text(since), '+inf')) do
    local rest = fact(scope)
    if rest then add(scope, rest) end
  end
  for scope, rest in pairs(facts) do
    if rest.revision > since then add(scope, rest) end
  end
  reply.revision = state.revision

  local held = {}
  for _, one in ipairs(renewal.held) do
    if not contains(reply.refused, one.unit) then held[#held + 1] = one.unit end
  end
  for _, granted in ipairs(reply.granted) do
    if not contains(reply.refused, granted.unit) then held[#held + 1] = granted.unit end
  end
  local all = live_rosters()
  local alone = #all == 1 and all[1] == renewal.roster
  for _, name in ipairs(held) do
    local record = unit(name)
    if not (alone and record and is_empty(record.learned)) then
      local limits, own = limits_of(name), limits_in(renewal.roster, name)
      if own and not equal(stricter(own, limits), own) then reply.stricter[name] = limits end
    end
    if record then
      local from = now - 25 * 3600000
      record.corrections = retain(record.corrections, function(correction) return correction.b > from end)
      for _, correction in ipairs(record.corrections) do
        table.insert(reply.corrections,
          {unit = name, number = correction.n, of = correction.u, began = correction.b - now, more = text(correction.m)})
      end
    end
  end
end

local function write_facts()
  for scope in pairs(facts_gone) do
    call('HDEL', base .. ':facts', scope)
    call('ZREM', base .. ':facts:heard', scope)
    call('ZREM', base .. ':facts:ends', scope)
  end
  for scope, rest in pairs(facts) do
    call('HSET', base .. ':facts', scope, pack(rest))
    call('ZADD', base .. ':facts:heard', text(rest.revision), scope)
    if rest.ends then
      call('ZADD', base .. ':facts:ends', text(rest.ends), scope)
    else
      call('ZREM', base .. ':facts:ends', scope)
    end
  end
end
