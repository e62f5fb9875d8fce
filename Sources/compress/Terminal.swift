#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What the program knows about where its output goes.
enum Terminal {
  /// Whether standard error is a terminal that can redraw a line.
  static let canRedraw: Bool = {
    guard isatty(2) == 1, let name = getenv("TERM") else { return false }
    return String(cString: name) != "dumb"
  }()

  /// The width of standard output in columns; 100 where it is no terminal.
  static var width: Int {
    var size = winsize()
    guard isatty(1) == 1, ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 100 }
    return Int(size.ws_col)
  }

  /// Writes `text` to standard error at once.
  static func error(_ text: String) { write(text, to: 2) }

  /// Writes `text` to standard output at once.
  static func output(_ text: String) { write(text, to: 1) }

  /// Writes raw bytes to standard output at once.
  static func output(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0, to: 1) } }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { write(UnsafeRawBufferPointer($0), to: descriptor) }
  }

  private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) {
    var rest = bytes
    while let base = rest.baseAddress, rest.count > 0 {
      #if canImport(Glibc)
        let written = Glibc.write(descriptor, base, rest.count)
      #else
        let written = Darwin.write(descriptor, base, rest.count)
      #endif
      if written < 0 {
        if errno == EINTR { continue }
        return
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[written...])
    }
  }
}
