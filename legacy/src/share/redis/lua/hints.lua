-- Words to other processes between their renewals: a name of theirs is written to, and gone again, of which the server tells
-- whoever asked for that (src/redis/ear.rs). Only hints: what they are about is heard with any renewal.

local LIVELY = 8000

local hinted = {}

local function hint(holder)
  if holder then hinted[holder] = true end
end

local function hint_all()
  for id in pairs(state.holders) do hint(id) end
end

-- Whether all who renew give hints; an earlier version does not.
local function all_hint(now)
  for _, record in pairs(state.holders) do
    if now - record.seen < LIVELY and not record.hints then return false end
  end
  return true
end

local function touch(name)
  call('SET', name, '')
  call('DEL', name)
end

-- `echo`: whoever renews is to hear so that hints arrive.
local function send_hints(own, echo, now)
  for id in pairs(hinted) do
    local record = state.holders[id]
    if id ~= own and record and now - record.seen < LIVELY then touch(base .. ':to:' .. id .. ':') end
  end
  if echo and all_hint(now) then touch(base .. ':to:' .. own .. ':echo') end
end
