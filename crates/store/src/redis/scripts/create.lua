-- Takes what came in, what becomes of the places, bot, tenant, platform, time of creation, meeting key, then each with a flag: idempotency key, deduplication key; then
-- the session and the consequences. Answers how it ended, and the record that was there, or how many places are taken.
local inbox = take_inbox()
if is_taken(inbox) then return { 'seen', {} } end
local place_change = take_place()
local bot, tenant, platform, created_at, meeting = take(), take(), take(), take(), take()
local has_idempotency, idempotency, has_deduplication, deduplication = take(), take(), take(), take()
local function bound(set, key)
  local found = redis.call('HGET', T .. set .. tenant, key)
  return found and redis.call('EXISTS', session_key(found)) == 1 and found
end
if has_idempotency == '1' then
  local winner = bound(':idempotency:', idempotency)
  if winner then return { 'replayed', record(winner) } end
end
if has_deduplication == '1' then
  local first = bound(':deduplication:', deduplication)
  if first then
    local same = redis.call('HGET', session_key(first), 'm') == meeting
    return { same and 'duplicate' or 'conflict', record(first) }
  end
end
if redis.call('EXISTS', session_key(bot)) == 1 then return { 'taken', {} } end
local taken = full(place_change, tenant)
if taken then return { 'full', { taken } } end
local seq = padded(numbers('session', 1))
local place, created = seq .. ':' .. bot, created_at .. ':' .. seq .. ':' .. bot
local new = { 't', tenant, 'p', platform, 'q', place, 'c', created, 'm', meeting }
redis.call('ZADD', list('', tenant), 0, created)
local function bind(set, field, key)
  redis.call('HSET', T .. set .. tenant, key, bot)
  new[#new + 1], new[#new + 2] = field, key
end
if has_idempotency == '1' then bind(':idempotency:', 'i', idempotency) end
if has_deduplication == '1' then bind(':deduplication:', 'd', deduplication) end
write_session(bot, tenant, place, created, { new = new })
write_place(place_change, bot, tenant, created)
write_consequences(bot, tenant)
keep(inbox)
return { 'new', {} }
