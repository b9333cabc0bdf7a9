# Process.daemon with its defaults. It knows of no PID file, so the program writes one afterwards.
Process.daemon
File.write(ARGV.fetch(0), "#{Process.pid}\n")
sleep
