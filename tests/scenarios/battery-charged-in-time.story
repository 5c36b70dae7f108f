A battery is charged in time.

Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s

Course
  12:00 D1 BATTERY_LOW
  12:30 D1 BATTERY_CRITICAL
  13:00 D1 BATTERY_OK

Findings at 13:05
  W1 BATTERY BATTERY_LOW from 12:00 to 13:00
  W1 BATTERY BATTERY_CRITICAL from 12:30 to 13:00

Alerts
  W1 BATTERY warning, 2 findings, raised 12:00
