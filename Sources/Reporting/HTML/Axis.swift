#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A scale from values to places in a picture, with ticks at round numbers.
struct Axis {
  private(set) var isLogarithmic: Bool
  private(set) var low: Double
  private(set) var high: Double
  private let from: Double
  private let to: Double

  /// A scale on which all `values` have a place, `from` … `to`. A logarithmic one needs positive values, and leaves others out.
  ///
  /// - Parameter padding: the part of the range that stays empty at either end.
  init(
    _ values: [Double], logarithmic: Bool = false, fromZero: Bool = false, padding: Double = 0.06,
    from: Double, to: Double
  ) {
    (self.from, self.to) = (from, to)
    isLogarithmic = logarithmic
    let usable = values.filter { $0.isFinite && (!logarithmic || $0 > 0) }
    var least = usable.min() ?? (logarithmic ? 0.1 : 0)
    var most = usable.max() ?? 1
    if logarithmic {
      (least, most) = (log10(least), log10(most))
      if most - least < 0.5 { (least, most) = ((least + most) / 2 - 0.25, (least + most) / 2 + 0.25) }
    } else {
      if fromZero || (least > 0 && least < most * 0.4) { least = min(0, least) }
      if most <= least {
        (least, most) = (least - max(0.5, abs(least) * 0.1), most + max(0.5, abs(most) * 0.1))
      }
    }
    let space = (most - least) * padding
    low = !logarithmic && least == 0 ? 0 : least - space
    high = most + space
  }

  /// The place of `value`; values beyond the ends are at them.
  func place(_ value: Double) -> Double {
    let scaled = isLogarithmic ? (value > 0 ? log10(value) : low) : value
    let part = min(1, max(0, (scaled - low) / (high - low)))
    return from + (to - from) * (part.isFinite ? part : 0)
  }

  /// Round values within the scale: powers of ten, with 2 and 5 times them where there are few; or steps of 1, 2 or 5.
  var ticks: [Double] {
    if isLogarithmic {
      let decades = Int(floor(low))...Int(ceil(high))
      let factors: [Double] = high - low > 2.5 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 5]
      let step = max(1, decades.count / 7)
      return decades.flatMap { decade in factors.map { $0 * pow(10, Double(decade)) } }
        .filter {
          (low...high).contains(log10($0)) && (factors.count > 1 || Int(log10($0).rounded()) % step == 0)
        }
    }
    let rough = (high - low) / 4
    let power = pow(10, floor(log10(rough)))
    let step = power * (rough / power < 1.5 ? 1 : rough / power < 3.5 ? 2 : rough / power < 7.5 ? 5 : 10)
    let (first, last) = (ceil(low / step), floor(high / step))
    guard first.isFinite, last.isFinite, last >= first, last - first < 50 else { return [] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  /// A figure with its unit, without zeros that say nothing: "8 MB" for "8.00 MB".
  static func trimmed(_ text: String) -> String {
    let parts = text.split(separator: " ", maxSplits: 1)
    guard var number = parts.first.map(String.init), number.contains(".") else { return text }
    while number.last == "0" { number.removeLast() }
    if number.last == "." { number.removeLast() }
    return ([number] + parts.dropFirst().map(String.init)).joined(separator: " ")
  }

  /// A tick as text: as few digits as tell it.
  static func label(_ value: Double) -> String {
    if value == 0 { return "0" }
    let magnitude = abs(value)
    if magnitude < 1e-3 || magnitude >= 1e6 {
      let exponent = Int(floor(log10(magnitude) + 1e-9))
      let mantissa = (value / pow(10, Double(exponent))).rounded()
      return mantissa == 1 ? "1e\(exponent)" : "\(Int(mantissa))e\(exponent)"
    }
    var text = NumberFormat.fixed(value, 4)
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return text
  }
}
