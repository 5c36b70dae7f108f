Somebody leaves at 20:05 and is back at 20:35.
Two fixes confirm each change, backdated to the first.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 20:00 every 5 min D1 at home
  20:05 to 20:30 every 5 min D1 at street
  20:35 D1 at home
  20:40 D1 at home

Findings at 20:45
  W1 CURFEW LEFT_DURING on C1 from 20:05 to 20:35, known 20:10

Alerts
  W1 CURFEW on C1 AL10 serious, raised 20:10
