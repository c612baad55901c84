-- Take over what one process counted alone in one scope; the same batch a second time changes nothing.
-- KEYS: hash of counters, sorted set of leases, mark of the batch.
-- ARGV: index of minute, hour and day; the six counts Redis last told that process; six counts to add; lease in
--       seconds; number of corrections, then for each: call, requests, tokens, index of minute, hour and day;
--       then for each call in flight: call, until (by this clock).
-- Returns: now, then seven counts.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local index = {math.floor(now / 60), math.floor(now / 3600), math.floor(now / 86400)}
local counts, calls, mark = KEYS[1], KEYS[2], KEYS[3]

redis.call('ZREMRANGEBYSCORE', calls, '-inf', now)
local kept = redis.call('HMGET', counts, 'i1', 'i2', 'i3', 'r1', 'r2', 'r3', 't1', 't2', 't3')
local row = {}
for number = 1, 6 do
  local window = (number - 1) % 3 + 1
  row[number] = tonumber(kept[window] or -1) == index[window] and tonumber(kept[3 + number]) or 0
end

if redis.call('SET', mark, 1, 'NX', 'EX', 86400) then
  -- Requests of a day only grow. Fewer than were told before: this memory was lost, and what was told then holds.
  local forgot = tonumber(ARGV[3]) == index[3] and row[3] < tonumber(ARGV[6])
  for correction = 1, tonumber(ARGV[17]) do
    local first = 17 + 6 * (correction - 1)
    if redis.call('ZREM', calls, ARGV[first + 1]) == 1 then
      for window = 1, 3 do
        if tonumber(ARGV[first + 3 + window]) == index[window] then
          row[window] = math.max(0, row[window] + tonumber(ARGV[first + 2]))
          row[3 + window] = math.max(0, row[3 + window] + tonumber(ARGV[first + 3]))
        end
      end
    end
  end
  for number = 1, 6 do
    if tonumber(ARGV[(number - 1) % 3 + 1]) == index[(number - 1) % 3 + 1] then
      if forgot then
        row[number] = math.max(row[number], tonumber(ARGV[3 + number]))
      end
      row[number] = row[number] + tonumber(ARGV[9 + number])
    end
  end
  redis.call('HSET', counts, 'i1', index[1], 'i2', index[2], 'i3', index[3],
    'r1', row[1], 'r2', row[2], 'r3', row[3], 't1', row[4], 't2', row[5], 't3', row[6])
  redis.call('EXPIRE', counts, 86460)
  for place = 18 + 6 * tonumber(ARGV[17]), #ARGV, 2 do
    redis.call('ZADD', calls, ARGV[place + 1], ARGV[place])
    redis.call('EXPIRE', calls, ARGV[16])
  end
end
return {tostring(now), row[1], row[2], row[3], row[4], row[5], row[6], redis.call('ZCARD', calls)}
