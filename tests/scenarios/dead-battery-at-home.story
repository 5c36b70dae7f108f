A battery dies at home.
Low, critical, silent: one alert of the battery, one of the silence.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 600 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:00 to 20:30 every 5 min D1 at home
  19:30 D1 BATTERY_LOW
  20:00 D1 BATTERY_CRITICAL
  20:49 clock
  20:50 clock

Findings at 20:55
  W1 BATTERY BATTERY_LOW from 19:30, lasting
  W1 BATTERY BATTERY_CRITICAL from 20:00, lasting
  W1 NO_COMMUNICATION from 20:49, lasting

Alerts
  W1 BATTERY warning, 2 findings, raised 19:30
  W1 NO_COMMUNICATION serious
