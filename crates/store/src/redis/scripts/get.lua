-- Takes a bot.
return record(take())
