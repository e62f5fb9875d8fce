import Evaluation

extension Cited {
  /// An estimate at `path`, with its error where there is one.
  static func estimate(
    _ path: String, _ estimate: Estimate, digits: Int = 4, atLeast: Int = 0, scale: Double = 1,
    signed: Bool = false
  ) -> String {
    let parts = NumberFormat.parts(estimate, digits: digits, atLeast: atLeast, scale: scale)
    let sign = signed && estimate.value > 0 ? "+" : ""
    let value = number("\(path).value", estimate.value, sign + parts.value)
    guard let error = parts.error, let plain = estimate.standardError else { return value }
    return value + " ± " + number("\(path).standardError", plain, error)
  }

  static func significant(_ path: String, _ value: Double?, _ digits: Int = 3) -> String {
    value.map { number(path, $0, NumberFormat.significant($0, digits)) } ?? "–"
  }

  static func fixed(_ path: String, _ value: Double?, _ decimals: Int, unit: String = "") -> String {
    value.map { number(path, $0, NumberFormat.fixed($0, decimals) + unit) } ?? "–"
  }

  static func bytes(_ path: String, _ value: Int?) -> String {
    value.map { number(path, $0, NumberFormat.bytes($0)) } ?? "–"
  }

  static func grouped(_ path: String, _ value: Int?) -> String {
    value.map { number(path, $0, NumberFormat.grouped($0)) } ?? "–"
  }

  static func seconds(_ path: String, _ value: Double?) -> String {
    value.map { number(path, $0, NumberFormat.seconds($0)) } ?? "–"
  }

  static func rate(_ path: String, _ value: Double?) -> String {
    value.map { number(path, $0, NumberFormat.rate($0)) } ?? "–"
  }
}
