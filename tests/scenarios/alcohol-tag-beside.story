A GPS tag and an alcohol tag: the second is not asked where anybody is.
It tells of alcohol.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  tag D2 on W1 from 18:00 every 36000 s, telling nothing
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 20:00 every 5 min D1 at home
  19:30 D2 ALCOHOL_DETECTED
  19:50 D2 ALCOHOL_CLEAR

Findings at 20:01
  W1 ALCOHOL ALCOHOL_DETECTED from 19:30 to 19:50

Alerts
  W1 ALCOHOL serious, raised 19:30
