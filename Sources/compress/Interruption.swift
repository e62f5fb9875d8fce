internal import Compression
internal import Dispatch
internal import ModelFiles
internal import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Ctrl-C and `kill` leave no litter: unfinished folders and files are removed before the program ends.
enum Interruption {
  /// Kept alive for the rest of the program; written once, before any work starts.
  nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []

  /// A process that works for this one and has to end with it; 0 for none.
  static let child = Locked<pid_t>(0)

  /// Takes over SIGINT, SIGTERM and SIGHUP, each unless it was ignored at the start (`nohup`).
  static func install() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      let before = signal(number, SIG_IGN)
      if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { continue }
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler { stop(number) }
      source.resume()
      sources.append(source)
    }
  }

  private static func stop(_ number: Int32) {
    if number == SIGINT, GracefulStop.request() {
      Terminal.error(
        (Terminal.canRedraw ? "\r\u{1B}[K" : "")
          + "compress: finishing this step, then the reports; once more to stop at once\n")
      return
    }
    stopAtOnce(number)
  }

  private static func stopAtOnce(_ number: Int32) -> Never {
    child.withLock { if $0 > 0 { kill($0, SIGKILL) } }
    Unfinished.stop {
      AtomicFile.removeLitter()
      Terminal.error((Terminal.canRedraw ? "\r\u{1B}[K" : "") + "compress: stopped, nothing written\n")
      _exit(128 + number)
    }
  }
}
