internal import Compression
internal import Dispatch

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Ctrl-C and `kill` leave no litter: unfinished folders and files are removed before the program ends.
enum Interruption {
  /// Kept alive for the rest of the program; written once, before any work starts.
  nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []

  /// Takes over SIGINT, SIGTERM and SIGHUP.
  static func install() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler {
        Unfinished.removeAll()
        Terminal.error("\ncompress: stopped, nothing written\n")
        _exit(128 + number)
      }
      source.resume()
      sources.append(source)
    }
  }
}
