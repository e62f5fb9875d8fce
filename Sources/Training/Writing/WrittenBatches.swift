import Models
import TensorCore

/// Batches that the student writes and its teacher judges (generalized knowledge distillation, arXiv 2306.13649): a share of all
/// batches, spread evenly. What is written hangs on the student's weights, the seed and the step's number alone.
struct WrittenBatches {
  /// The tokens of a text, and those of it that are the beginning of a text to learn from.
  static let (length, given) = (128, 16)

  private let share: Double
  private let tokens, length: Int
  private let seed: UInt64
  private let ends: Set<Int>

  init(_ student: Checkpoint, _ settings: TrainingSettings) throws {
    guard settings.loss.needsTeacher else {
      throw TrainingError(
        "text that the student writes is judged by its teacher, whom the loss \(settings.loss.kind.rawValue) does not ask; leave "
          + "--on-policy out")
    }
    share = settings.onPolicy
    tokens = settings.batchTokens
    seed = settings.seed
    ends = Set(student.tokenizer?.stopIDs ?? [])
    length = min(WrittenBatches.length, student.architecture?.contextLength ?? WrittenBatches.length)
  }

  /// Whether the batch of a step, counted from 0, is written.
  func isDue(_ number: Int) -> Bool {
    (Double(number + 1) * share).rounded(.down) > (Double(number) * share).rounded(.down)
  }

  /// The texts of a step, each begun as one of `documents` is, or a part of it.
  func write(
    _ number: Int, from documents: [[Int]], graph: LlamaGraph<Float>, weights: NumberBuffer<Float>
  ) -> [[Int]] {
    let longest = documents.map(\.count).max() ?? 1
    let given = max(1, min(WrittenBatches.given, longest, length - 1))
    var beginnings: [[Int]] = []
    let wanted = max(1, tokens / length)
    // First each document's beginning, then what is in it further on, behind its first token.
    for start in stride(from: 0, to: max(1, longest - given + 1), by: given) {
      for document in documents where document.count >= start + given && beginnings.count < wanted {
        beginnings.append(
          start == 0
            ? Array(document[..<given]) : [document[0]] + document[start + 1..<start + given])
      }
    }
    let own = seed ^ (UInt64(number) &* 0xD6E8_FEB8_6659_FD93) ^ 0x706F_6C69_6379
    return graph.write(
      beginnings, length: length, temperature: 1, ends: ends, seed: own, weights: weights.base)
  }
}
