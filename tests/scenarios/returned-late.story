Somebody comes home 42 minutes late.
The alert is raised at the start and carries the code of what it became.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:40 every 5 min D1 at street
  19:42 D1 at home
  19:44 D1 at home

Findings at 19:50
  W1 CURFEW RETURNED_LATE on C1 from 19:00 to 19:42

Alerts
  W1 CURFEW on C1 AL09 serious, raised 19:00
