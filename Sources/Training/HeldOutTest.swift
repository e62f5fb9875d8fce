package import Models
import TensorCore

/// Tests a student on text that it does not learn from.
final class HeldOutTest {
  /// What a test found, in nats a token.
  struct Result {
    var divergence, crossEntropy: Double
  }

  private let student: LlamaGraph<Float>
  private let parts: [PackedTokens]
  private let teacher: TeacherModel
  private var states: [NumberBuffer<Float>] = []

  /// A test on some of `documents`, at even distances, `tokens` tokens at most but one document at least.
  init(_ student: LlamaGraph<Float>, teacher: TeacherModel, documents: [[Int]], tokens: Int) {
    self.student = student
    self.teacher = teacher
    let all = documents.reduce(0) { $0 + $1.count }
    let wanted = all > tokens ? max(1, documents.count * tokens / max(1, all)) : documents.count
    let chosen = (0..<wanted).map { documents[$0 * documents.count / wanted] }
    parts = GradientStep<Float>.parts(chosen, tokens: 1024).map { PackedTokens($0.map { chosen[$0] }) }
  }

  /// The student's mean divergence from the teacher, and the mean −ln p of the text.
  func run(_ weights: NumberBuffer<Float>) -> Result {
    if states.isEmpty {
      states = parts.map {
        teacher.states(of: $0, documents: Array(repeating: -1, count: $0.documents.count))
      }
    }
    var (divergence, entropy, tokens, labelled) = (0.0, 0.0, 0, 0)
    for (part, goal) in zip(parts, states) {
      let pass = student.forward(part, weights: weights.base, remembers: false)
      let sums = compare(pass.final, goal, UnsafePointer(weights.base + student.output), part.targets)
      for row in 0..<part.count {
        divergence += sums.base[2 * row]
        entropy += sums.base[2 * row + 1]
      }
      tokens += part.count
      labelled += part.targets.count { $0 >= 0 }
    }
    return Result(
      divergence: divergence / Double(max(1, tokens)), crossEntropy: entropy / Double(max(1, labelled)))
  }

  /// Divergence and −ln p of each row.
  private func compare(
    _ final: NumberBuffer<Float>, _ goal: NumberBuffer<Float>, _ matrix: UnsafePointer<Float>,
    _ targets: [Int]
  ) -> NumberBuffer<Double> {
    let (vocabulary, held) = (student.vocabulary, max(32, min(256, (1 << 22) / student.vocabulary)))
    let sums = NumberBuffer<Double>(2 * targets.count)
    for start in stride(from: 0, to: targets.count, by: held) {
      let rows = min(held, targets.count - start)
      let (own, other) = (
        logits(final, student.width, matrix, start, rows, vocabulary),
        logits(goal, teacher.width, teacher.matrix, start, rows, vocabulary)
      )
      Parallel.forEach(rows) { row in
        let (x, y) = (other.base + row * vocabulary, own.base + row * vocabulary)
        let (a, b) = (Kernels.logSumExp(x, count: vocabulary), Kernels.logSumExp(y, count: vocabulary))
        let place = 2 * (start + row)
        sums.base[place] = max(0, Kernels.logDivergence(x, xLog: a, y, yLog: b, count: vocabulary))
        let target = targets[start + row]
        sums.base[place + 1] = target < 0 ? 0 : b - Double(y[target])
      }
    }
    return sums
  }

  private func logits(
    _ states: NumberBuffer<Float>, _ width: Int, _ matrix: UnsafePointer<Float>, _ start: Int, _ rows: Int,
    _ vocabulary: Int
  ) -> NumberBuffer<Float> {
    let result = NumberBuffer<Float>(rows * vocabulary)
    Float.add(
      TrainingProduct(
        a: (UnsafePointer(states.base + start * width), width, 1), b: (matrix, 1, width), c: result.base,
        row: vocabulary, rows: rows, inner: width, columns: vocabulary))
    return result
  }
}
