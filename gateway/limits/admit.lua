-- Admit one call in every scope, or in none. By Redis's own clock, in one round trip.
-- KEYS: for each scope a hash of counters and a sorted set of leases (call -> until).
-- ARGV: call, tokens, lease in seconds, the time after which nobody waits for this any more (0 is unknown), then seven
--       limits for each scope (-1 is none): requests per minute, hour, day; tokens per minute, hour, day; concurrent
--       requests.
-- Returns: now, number of the limit that refused (-1 is none), then seven counts for each scope; too late: now, -2.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local call, tokens, lease, latest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if latest > 0 and now > latest then
  return {tostring(now), -2}  -- whoever asked has decided alone by now
end
local spans = {60, 3600, 86400}
local scopes = #KEYS / 2
local rows, refused = {}, -1

for scope = 1, scopes do
  local counts, calls = KEYS[2 * scope - 1], KEYS[2 * scope]
  redis.call('ZREMRANGEBYSCORE', calls, '-inf', now)
  local kept = redis.call('HMGET', counts, 'i1', 'i2', 'i3', 'r1', 'r2', 'r3', 't1', 't2', 't3')
  local row = {}
  for window = 1, 3 do
    local same = tonumber(kept[window] or -1) == math.floor(now / spans[window])
    row[window] = same and tonumber(kept[3 + window]) or 0
    row[3 + window] = same and tonumber(kept[6 + window]) or 0
  end
  row[7] = redis.call('ZCARD', calls)
  rows[scope] = row
  for number = 1, 7 do
    local limit = tonumber(ARGV[4 + 7 * (scope - 1) + number])
    local taken = (number >= 4 and number <= 6) and tokens or 1
    if refused < 0 and limit >= 0 and row[number] + taken > limit then
      refused = 7 * (scope - 1) + number - 1
    end
  end
end

local answer = {tostring(now), refused}
for scope = 1, scopes do
  local counts, calls, row = KEYS[2 * scope - 1], KEYS[2 * scope], rows[scope]
  if refused < 0 then
    for window = 1, 3 do
      row[window] = row[window] + 1
      row[3 + window] = row[3 + window] + tokens
    end
    row[7] = row[7] + 1
    redis.call('HSET', counts,
      'i1', math.floor(now / 60), 'i2', math.floor(now / 3600), 'i3', math.floor(now / 86400),
      'r1', row[1], 'r2', row[2], 'r3', row[3], 't1', row[4], 't2', row[5], 't3', row[6])
    redis.call('EXPIRE', counts, 86460)
    redis.call('ZADD', calls, now + lease, call)
    redis.call('EXPIRE', calls, lease)
  end
  for number = 1, 7 do
    answer[#answer + 1] = row[number]
  end
end
return answer
