-- Takes what came in, what becomes of the places, bot, version read, end of lease seen, the session and the consequences. Answers how it ended, and the end of the
-- lease as it was written, or how many places are taken.
local inbox = take_inbox()
if is_taken(inbox) then return { 'seen', '' } end
local place = take_place()
local bot, version, seen = take(), take(), take()
local known = redis.call('HMGET', session_key(bot), 'v', 'f', 'o', 'u', 's', 't', 'q', 'c')
if not known[1] then return { 'missing', '' } end
if known[1] ~= version or (seen ~= '' and known[4] ~= seen) then return { 'conflict', '' } end
local taken = full(place, known[6])
if taken then return { 'full', taken } end
even_if_full()
local before = { fencing = known[2], owner = known[3], ends = known[4], state = known[5] }
local ends = write_session(bot, known[6], known[7], known[8], before)
write_place(place, bot, known[6], known[8])
write_consequences(bot, known[6])
keep(inbox)
return { 'written', ends }
