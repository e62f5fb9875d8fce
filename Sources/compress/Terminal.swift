#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

internal import Compression

/// What the program knows about where its output goes.
enum Terminal {
  /// Whether standard error is a terminal that can redraw a line.
  static let canRedraw: Bool = {
    guard isatty(2) == 1, let name = getenv("TERM") else { return false }
    return String(cString: name) != "dumb"
  }()

  /// Whether standard error shows colours: a terminal that can redraw, and nobody asked for none (<https://no-color.org>).
  static let hasColours: Bool = {
    guard canRedraw else { return false }
    guard let wish = getenv("NO_COLOR") else { return true }
    return wish.pointee == 0
  }()

  /// A look of words on a terminal. Words say the same without it.
  enum Look: String { case bold = "1", yellow = "33", cyan = "36" }

  /// `text` in a look.
  static func coloured(_ text: String, _ look: Look) -> String { "\u{1B}[\(look.rawValue)m\(text)\u{1B}[0m" }

  /// `text` in a look where standard error shows colours.
  static func styled(_ text: String, _ look: Look) -> String { hasColours ? coloured(text, look) : text }

  /// The width of standard output in columns; 100 where it is no terminal.
  static var width: Int { size(of: 1).width }

  /// The columns and rows of a descriptor's terminal; 100 and 24 where it is none.
  static func size(of descriptor: Int32) -> (width: Int, height: Int) {
    var size = winsize()
    guard isatty(descriptor) == 1, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return (100, 24)
    }
    return (Int(size.ws_col), size.ws_row > 0 ? Int(size.ws_row) : 24)
  }

  /// Writes `text` to standard error at once. Where nobody reads it, nothing happens: the work goes on.
  static func error(_ text: String) { _ = write(text, to: 2) }

  /// Writes `text` to standard output at once; ends the program where that fails.
  static func output(_ text: String) { check(write(text, to: 1)) }

  /// Writes raw bytes to standard output at once; ends the program where that fails.
  static func output(_ bytes: [UInt8]) { check(bytes.withUnsafeBytes { write($0, to: 1) }) }

  /// `text` with control characters replaced, which names from a file might hold; a terminal would obey them.
  static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { scalar in
          scalar == "\n" || scalar == "\t" || scalar.properties.generalCategory != .control
            ? scalar : "\u{FFFD}"
        }))
  }

  /// `text` on one line.
  static func oneLine(_ text: String) -> String {
    printable(String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\n" ? " " : $0 })))
  }

  private static func check(_ code: Int32) {
    guard code != 0 else { return }
    // A reader that has enough (`compress inspect … | head`) is no failure to talk about.
    guard code != EPIPE else { exit(128 + SIGPIPE) }
    error("compress: cannot write to standard output: \(String(cString: strerror(code)))\n")
    exit(JobError.Kind.inputOutput.rawValue)
  }

  private static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { write(UnsafeRawBufferPointer($0), to: descriptor) }
  }

  /// Writes all of `bytes`; returns the error number, 0 for none.
  private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    var rest = bytes
    while let base = rest.baseAddress, rest.count > 0 {
      #if canImport(Glibc)
        let written = Glibc.write(descriptor, base, rest.count)
      #else
        let written = Darwin.write(descriptor, base, rest.count)
      #endif
      if written < 0 {
        if errno == EINTR { continue }
        return errno
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[written...])
    }
    return 0
  }
}
