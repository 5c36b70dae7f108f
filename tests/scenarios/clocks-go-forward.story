The clocks go forward in a curfew night.
19:00 to 07:00 on the wall is eleven hours.
Day 2026-03-28
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 06:30+1 every 10 min D1 at street

Findings at 06:35+1
  W1 CURFEW OUT_ENTIRE_PERIOD on C1 from 19:00 to 06:00+1

Alerts
  W1 CURFEW on C1 AL12 serious, raised 19:00
