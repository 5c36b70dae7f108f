The clocks go back in a curfew night.
19:00 to 07:00 on the wall is thirteen hours.
Day 2026-10-24
Ready 17:00

Orders
  tag D1 on W1 from 17:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  17:50 to 07:30+1 every 10 min D1 at street

Findings at 07:35+1
  W1 CURFEW OUT_ENTIRE_PERIOD on C1 from 18:00 to 07:00+1

Alerts
  W1 CURFEW on C1 AL12 serious, raised 18:00
