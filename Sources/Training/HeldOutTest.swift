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
  private let teacher: Teacher
  private var states: [NumberBuffer<Float>] = []

  /// What predictions are compared with: those of a model, or what is kept of them, the documents' rows from some place on.
  enum Teacher {
    case model(TeacherModel)
    case rows(TeacherRows, first: Int)
  }

  private let chosen: [Int]

  /// A test on some of `documents`, at even distances, `tokens` tokens at most but one document at least.
  init(_ student: LlamaGraph<Float>, teacher: Teacher, documents: [[Int]], tokens: Int) {
    self.student = student
    self.teacher = teacher
    let all = documents.reduce(0) { $0 + $1.count }
    let wanted = all > tokens ? max(1, documents.count * tokens / max(1, all)) : documents.count
    let chosen = (0..<wanted).map { $0 * documents.count / wanted }
    let texts = chosen.map { documents[$0] }
    let parts = GradientStep<Float>.parts(texts, tokens: 1024)
    self.parts = parts.map { PackedTokens($0.map { texts[$0] }) }
    self.chosen = parts.flatMap { $0.map { chosen[$0] } }
  }

  /// The student's mean divergence from the teacher, and the mean −ln p of the text.
  func run(_ weights: NumberBuffer<Float>) -> Result {
    if states.isEmpty, case .model(let teacher) = teacher {
      states = parts.map {
        teacher.states(of: $0, documents: Array(repeating: -1, count: $0.documents.count))
      }
    }
    var (divergence, entropy, tokens, labelled) = (0.0, 0.0, 0, 0)
    var document = 0
    for (place, part) in parts.enumerated() {
      let pass = student.forward(part, weights: weights.base, remembers: false)
      let goal: Goal
      switch teacher {
      case .model(let model): goal = .states(states[place], model)
      case .rows(let rows, let first):
        goal = .rows(
          zip(chosen[document...], part.documents).flatMap { rows.rows(first + $0, count: $1.count) })
      }
      document += part.documents.count
      let sums = compare(
        student.outputInput(pass.final), goal, UnsafePointer(weights.base + student.output), part.targets)
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

  /// What a part's predictions are compared with.
  private enum Goal {
    case states(NumberBuffer<Float>, TeacherModel)
    case rows([LikeliestRow])
  }

  /// Divergence and −ln p of each row.
  private func compare(
    _ final: NumberBuffer<Float>, _ goal: Goal, _ matrix: UnsafePointer<Float>,
    _ targets: [Int]
  ) -> NumberBuffer<Double> {
    let (vocabulary, held) = (student.vocabulary, max(32, min(256, (1 << 22) / student.vocabulary)))
    let sums = NumberBuffer<Double>(2 * targets.count)
    for start in stride(from: 0, to: targets.count, by: held) {
      let rows = min(held, targets.count - start)
      let own = logits(final, student.width, matrix, start, rows, vocabulary)
      let (other, kept): (NumberBuffer<Float>?, [LikeliestRow])
      switch goal {
      case .states(let states, let teacher):
        other = logits(states, teacher.width, teacher.matrix, start, rows, vocabulary)
        kept = []
      case .rows(let all): (other, kept) = (nil, Array(all[start..<start + rows]))
      }
      Parallel.forEach(rows) { row in
        let y = own.base + row * vocabulary
        let b = Kernels.logSumExp(y, count: vocabulary)
        let place = 2 * (start + row)
        let target = targets[start + row]
        sums.base[place + 1] = target < 0 ? 0 : b - Double(y[target])
        if let other {
          let x = other.base + row * vocabulary
          let a = Kernels.logSumExp(x, count: vocabulary)
          sums.base[place] = max(0, Kernels.logDivergence(x, xLog: a, y, yLog: b, count: vocabulary))
        } else {
          let q = NumberBuffer<Float>(vocabulary, isZeroed: false)
          sums.base[place] = max(0, kept[row].divergence(y, q.base, vocabulary: vocabulary))
        }
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
