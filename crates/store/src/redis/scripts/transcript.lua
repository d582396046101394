-- Takes a transcript. Answers the record it belongs to.
local bot = redis.call('HGET', T .. ':transcripts', take())
return bot and record(bot) or {}
