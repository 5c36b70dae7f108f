A mast fails: 32 of 50 tags of one carrier fall silent.
One critical alert lists the people; the findings of each stay.
Ready 12:00

Orders
  tag D1..D50 on W1..W50 from 12:00 every 60 s on carrier-a

Course
  12:00 D1..D50 HEARTBEAT
  12:05 to 12:20 every 5 min D33..D50 HEARTBEAT
  12:10 clock

Findings at 12:20
  W1..W32 NO_COMMUNICATION from 12:10, lasting

Together
  one critical alert by 12:11: a platform incident
