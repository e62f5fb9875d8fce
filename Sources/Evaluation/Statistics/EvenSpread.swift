/// A part of a text that stands for all of it.
public enum EvenSpread {
  /// Places of pieces that are `limit` tokens long at most in all, one from each of as many equal parts of the text; all places
  /// where everything fits, and at least one.
  ///
  /// Which are taken goes by place, not by length, so that short ones are neither preferred nor avoided; the place in its part
  /// moves by the golden ratio, so that nothing periodic in the text is always or never hit.
  ///
  /// - Parameter lengths: the tokens of each piece.
  public static func places(of lengths: [Int], limit: Int) -> [Int] {
    let total = lengths.reduce(0, +)
    guard total > limit, lengths.count > 1 else { return Array(lengths.indices) }
    var count = max(1, Int(Double(lengths.count) * (Double(limit) / Double(total))))
    while true {
      let chosen = (0..<count).map { index in
        let place = (Double(index + 1) * 0.618_033_988_749_894_9).truncatingRemainder(dividingBy: 1)
        let part = (index * lengths.count / count)..<((index + 1) * lengths.count / count)
        return part.lowerBound + min(part.count - 1, Int(place * Double(part.count)))
      }
      let sum = chosen.reduce(0) { $0 + lengths[$1] }
      if sum <= limit || count == 1 { return chosen }
      count = max(1, min(count - 1, Int(Double(count) * (Double(limit) / Double(sum)))))
    }
  }
}
