A tag is jammed for 20 minutes.

Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s

Course
  13:00 D1 JAMMING
  13:20 D1 JAMMING_CLEAR

Findings at 13:30
  W1 JAMMING JAMMING from 13:00 to 13:20

Alerts
  W1 JAMMING serious, raised 13:00
