public import Evaluation
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Numbers as people read them. No locale: a point, no grouping except where stated.
public enum NumberFormat {
  /// A number with `decimals` digits behind the point.
  public static func fixed(_ value: Double, _ decimals: Int) -> String {
    print("%.*f", decimals, value)
  }

  /// A number with `digits` significant digits in scientific notation.
  static func scientific(_ value: Double, digits: Int) -> String {
    print("%.*e", digits - 1, value)
  }

  /// A number with `digits` significant digits, without an exponent from 0.0001 to 10^digits: "4.53", "0.00311", "1.2e-07".
  public static func significant(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
    // The exponent after rounding: 0.9996 with three digits is 1.00.
    let exponent = exponent(of: scientific(value, digits: digits))
    guard exponent >= -5 else { return scientific(value, digits: digits) }
    return fixed(value, max(0, digits - 1 - exponent))
  }

  /// Bytes in decimal units: "4.75 MB", "512 B".
  public static func bytes(_ count: Int) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"]
    var value = Double(count)
    var unit = 0
    // 999.5 would be printed as 1000.
    while value >= 999.5, unit + 1 < units.count {
      value /= 1000
      unit += 1
    }
    return "\(unit == 0 ? String(count) : significant(value, 3)) \(units[unit])"
  }

  /// A whole number in groups of three: "7,913,024".
  public static func grouped(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var text = ""
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return value < 0 ? "-" + text : text
  }

  /// Seconds in the unit that suits them: "12.3 ms", "1.24 s".
  public static func seconds(_ value: Double) -> String {
    if value < 1e-3 { return significant(value * 1e6, 3) + " µs" }
    if value < 1 { return significant(value * 1e3, 3) + " ms" }
    return value < 100 ? significant(value, 3) + " s" : fixed(value, 0) + " s"
  }

  /// A rate: three digits, no decimals from 100 on: "45.1", "1234".
  public static func rate(_ value: Double) -> String {
    value >= 100 ? fixed(value, 0) : significant(value, 3)
  }

  /// An estimate with as many digits as its error supports: "0.003106 ± 0.000018", "4.53 ± 0.04".
  ///
  /// The error is printed with one significant digit, or two when the first is 1, and the value with as many decimals. Without
  /// an error (one block, or exactly zero) the value has `digits` significant digits.
  ///
  /// - Parameter atLeast: significant digits that the value has in any case, for figures whose paired differences are known
  ///   far better than they are (perplexity).
  public static func estimate(
    _ estimate: Estimate, digits: Int = 4, atLeast: Int = 0, scale: Double = 1
  ) -> String {
    let parts = self.parts(estimate, digits: digits, atLeast: atLeast, scale: scale)
    return parts.error.map { "\(parts.value) ± \($0)" } ?? parts.value
  }

  /// The same with a sign in front, for changes: "+0.0021 ± 0.0004".
  public static func signedEstimate(_ estimate: Estimate, digits: Int = 4, scale: Double = 1) -> String {
    (estimate.value > 0 ? "+" : "") + self.estimate(estimate, digits: digits, scale: scale)
  }

  /// The value of ``estimate(_:digits:scale:)`` and its error apart.
  static func parts(
    _ estimate: Estimate, digits: Int, atLeast: Int = 0, scale: Double
  ) -> (value: String, error: String?) {
    let value = estimate.value * scale
    guard let error = estimate.standardError.map({ $0 * scale }), error > 0, error.isFinite else {
      return (significant(value, digits), estimate.standardError.map { _ in "0" })
    }
    let wanted = value == 0 ? 0 : atLeast - 1 - exponent(of: scientific(value, digits: max(1, atLeast)))
    let decimals = max(decimals(ofError: error), atLeast > 0 ? max(0, min(9, wanted)) : 0)
    return (fixed(value, decimals), fixed(error, decimals))
  }

  /// The digits behind the point that an error supports; at most 9.
  private static func decimals(ofError error: Double) -> Int {
    // Rounding first: 0.0197 is 0.020 with two digits, 0.0996 is 0.10.
    let text = scientific(error, digits: 2)
    return max(0, min(9, (text.first == "1" ? 1 : 0) - exponent(of: text)))
  }

  private static func exponent(of scientific: String) -> Int {
    scientific.split(separator: "e").last.flatMap { Int($0) } ?? 0
  }

  private static func print(_ format: String, _ digits: Int, _ value: Double) -> String {
    withVaList([Int32(clamping: digits), value]) { arguments in
      var buffer = [CChar](repeating: 0, count: 512)
      let count = vsnprintf(&buffer, buffer.count, format, arguments)
      return String(
        decoding: buffer[..<max(0, min(Int(count), buffer.count - 1))].map(UInt8.init(bitPattern:)),
        as: UTF8.self)
    }
  }
}
