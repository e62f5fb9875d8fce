/// Scales with few significant bits: they take less than a byte each once compressed, at no cost in quality where codes are
/// chosen for the scale as it is.
package enum ShortScale {
  /// The significant bits behind the first of a row's scale, which only says how fine its grid is.
  package static let rowBits = 2
  /// The significant bits behind the first of a column's scale, which is fitted to codes.
  package static let columnBits = 7

  /// The nearest number with `bits` bits behind its first; what is no positive normal number stays.
  package static func rounded(_ value: Float, bits: Int) -> Float {
    guard value.isNormal, bits < 23 else { return value }
    let unit = UInt32(1) << UInt32(23 - bits)
    let raised = value.bitPattern &+ unit / 2
    let result = Float(bitPattern: raised & ~(unit - 1))
    return result.isFinite ? result : value
  }
}
