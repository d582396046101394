-- Takes the name of a kind of names, and one of them. Answers the record of the bot that has it.
local bot = redis.call('HGET', T .. take(), take())
return bot and record(bot) or {}
