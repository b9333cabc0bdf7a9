# daemons: start and stop of a block.
require 'daemons'

directory = ARGV.pop
Daemons.run_proc('d', dir_mode: :normal, dir: directory, log_output: true) { sleep }
