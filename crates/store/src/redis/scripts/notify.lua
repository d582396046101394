-- Takes what is said to be the bot, tenant, and deliveries.
local bot, tenant = take(), take()
write_deliveries(bot, tenant)
return 1
