internal import Compression
internal import TensorCore

/// Draws a job's events: a bar with the time left on a terminal, plain lines elsewhere, nothing when quiet.
final class ProgressBar: Sendable {
  /// How events are shown.
  enum Style: Sendable { case bar, lines, silent }

  private struct State {
    var stage = ""
    var step = ""
    var begun = ContinuousClock.now
    var drawn = ContinuousClock.now - .seconds(1)
    var isDrawn = false
  }

  private let style: Style
  private let state = Locked(State())

  /// A bar for standard error.
  init(quiet: Bool) { style = quiet ? .silent : Terminal.canRedraw ? .bar : .lines }

  /// Shows one event.
  func show(_ event: JobEvent) {
    guard style != .silent else { return }
    state.withLock { state in
      switch event {
      case .stage(let index, let count, let label):
        clear(&state)
        state.stage = "[\(index)/\(count - 1)] \(label)"
        state.step = ""
        Terminal.error("\(state.stage)\n")
      case .progress(let step, let fraction): advance(&state, step: step, fraction: fraction)
      case .done(let step, let remark):
        clear(&state)
        state.step = ""
        Terminal.error("  \(step): \(Terminal.oneLine(remark))\n")
      case .note(let note):
        clear(&state)
        Terminal.error("  note: \(Terminal.oneLine(note))\n")
      }
    }
  }

  private func advance(_ state: inout State, step: String, fraction: Double) {
    let now = ContinuousClock.now
    if state.step != step {
      state.step = step
      state.begun = now
      state.drawn = now
      return
    }
    let interval: Duration = style == .bar ? .milliseconds(100) : .seconds(10)
    guard now - state.drawn >= interval else { return }
    state.drawn = now
    let elapsed = ProgressBar.seconds(now - state.begun)
    let left = fraction > 0.02 ? elapsed / fraction * (1 - fraction) : nil
    let percent = "\(Int(fraction * 100)) %"
    let remaining = left.map { ", \(ProgressBar.time($0)) left" } ?? ""
    if style == .bar {
      let width = 24
      let filled = Int(Double(width) * min(1, max(0, fraction)))
      let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
      Terminal.error("\r\u{1B}[K  \(step) [\(bar)] \(percent)\(remaining)")
      state.isDrawn = true
    } else {
      Terminal.error("  \(step): \(percent)\(remaining)\n")
    }
  }

  /// Takes a half-drawn bar off the line.
  private func clear(_ state: inout State) {
    if state.isDrawn { Terminal.error("\r\u{1B}[K") }
    state.isDrawn = false
  }

  /// Takes a half-drawn bar off the line, before an error is printed.
  func finish() { state.withLock { clear(&$0) } }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }

  private static func time(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded(.up))
    return whole < 60
      ? "\(whole) s"
      : whole < 3600 ? "\(whole / 60) min \(whole % 60) s" : "\(whole / 3600) h \(whole % 3600 / 60) min"
  }
}
